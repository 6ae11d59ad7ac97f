"""What runs in a contestant's process: one module per family, each with the same three classes and `versions`.

    Training(**job)         trains a network of the zoo on random images, some steps at a time
    Prediction(**job)       predicts a set of images
    Record(recipe, data)    trains a recipe from the start and tests it
"""
