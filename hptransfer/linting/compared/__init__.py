"""Two versions of a folder of recipes, compared without training: recipes, plans at the target, committed evidence.

recipes    `compare(base, head)`: what changed in every recipe, and which verdicts got worse
trees      the files of a version, from a folder, a file or a revision of git; bounded, and no link is followed
revisions  what git is asked, and how it is kept from running anything
facts      what committed evidence says of a recipe
plans      the two plans at the target, group by group
"""

__all__ = ["facts", "plans", "recipes", "trees"]
