"""Names of operations at the dispatcher, by what they are, without the underscore of those in place."""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: the same numbers elsewhere, or linear in them with weights that no size changes
MOVES = _names("""
    view _unsafe_view reshape _reshape_alias permute transpose t expand expand_as squeeze unsqueeze slice
    select split split_with_sizes chunk unbind unsafe_split unsafe_chunk alias detach as_strided clone
    contiguous _to_copy to copy narrow unfold flatten roll flip repeat diagonal movedim swapaxes lift
    lift_fresh cat concat stack hstack vstack index_select index gather where masked_fill masked_scatter tril
    triu scatter index_put index_copy slice_scatter select_scatter constant_pad_nd reflection_pad1d
    reflection_pad2d replication_pad1d replication_pad2d replication_pad3d pixel_shuffle pixel_unshuffle
    native_dropout mean avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d _adaptive_avg_pool2d
    _adaptive_avg_pool3d max_pool2d_with_indices max_pool3d_with_indices upsample_nearest1d upsample_nearest2d
    upsample_nearest3d _upsample_nearest_exact2d upsample_linear1d upsample_bilinear2d upsample_trilinear3d
    upsample_bicubic2d im2col col2im topk sort view_as_complex view_as_real _conj resolve_conj real imag pad
    repeat_interleave nested_to_padded_tensor dropout view_as masked_select take index_fill unsqueeze_copy
    channel_shuffle native_channel_shuffle _pin_memory alias_copy positive
""")
#: summed products of two tensors
PRODUCTS = _names("""
    mm bmm mv dot matmul linear addmm baddbmm addmv addbmm addr convolution _convolution
    convolution_overrideable mkldnn_convolution _grouped_mm _scaled_mm _weight_int8pack_mm bilinear _trilinear
    mkldnn_linear einsum inner outer ger conv1d conv2d conv3d thnn_conv2d slow_conv3d conv_depthwise3d
    _slow_conv2d_forward conv_transpose2d _addmm_activation linalg_vecdot vdot mkldnn_rnn_layer lstm gru
    rnn_tanh rnn_relu _linalg_matmul grouped_mm
""")
#: norms of one piece
NORMS = _names("""
    native_layer_norm native_group_norm native_batch_norm _native_batch_norm_legit
    _native_batch_norm_legit_functional _native_batch_norm_legit_no_training _batch_norm_with_update
    _batch_norm_impl_index _fused_rms_norm rms_norm layer_norm batch_norm cudnn_batch_norm group_norm
    instance_norm local_response_norm
""")
#: what reduces an axis
STATISTICS = _names("""
    sum mean linalg_vector_norm norm var std var_mean std_mean amax amin max logsumexp frobenius_norm nansum
    prod
""")
#: draws of random numbers: a constant for nobody
RANDOM = _names("""
    rand randn rand_like randn_like randint randint_like normal uniform exponential multinomial randperm
""")
#: of what they read they take the shape alone
SHAPES = _names("""
    empty_like zeros_like ones_like full_like new_empty new_zeros new_ones new_full new_empty_strided fill zero
    bernoulli
""")
#: sums over an axis, or along it
SUMS = _names("sum cumsum nansum")
#: sums of two tensors, a number before the second
ADDS = _names("add sub rsub index_add scatter_add")
#: rows of a table
LOOKUPS = _names("embedding embedding_bag _embedding_bag index index_select gather")
#: recurrent layers of one piece
RECURRENT = _names("mkldnn_rnn_layer lstm gru rnn_tanh rnn_relu")
