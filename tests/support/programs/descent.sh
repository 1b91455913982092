#!/bin/bash
# Gradient descent with noise on a sum of as many parabolas as the width, in awk. The best rate is near 1 / width.
#   descent.sh WIDTH RATE SEED STEPS
awk -v width="$1" -v rate="$2" -v seed="$3" -v steps="$4" 'BEGIN {
    srand(seed)
    x = 4
    for (step = 1; step <= steps; step++) {
        gradient = width * x + sqrt(width) * (rand() - 0.5)
        x -= rate * gradient
        if (x > 1e6 || x < -1e6) { print "loss: nan"; exit }
        printf "step %d loss: %.8f\n", step, 1 + x * x
    }
}'
