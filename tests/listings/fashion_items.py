"""Fashion-MNIST with a convolutional network, as one writes it for Keras; only the import lines say tinyconv."""

import numpy as np

from tinyconv.datasets import fashion_mnist
from tinyconv.layers import Conv2D, Dense, Flatten, MaxPooling2D
from tinyconv.models import Sequential, load_model
from tinyconv.utils import to_categorical

# 1. load
(train_images, train_labels), (test_images, test_labels) = fashion_mnist.load_data()
class_names = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]

# 2. look
print("training:", train_images.shape, train_labels.shape)
print("test:", test_images.shape, test_labels.shape)
for label, count in enumerate(np.bincount(train_labels, minlength=10)):
    print(f"{class_names[label]}: {count}")

# 3. a channel axis
train_images = train_images.reshape(train_images.shape[0], 28, 28, 1)
test_images = test_images.reshape(test_images.shape[0], 28, 28, 1)

# 4. numbers from 0 to 1
train_images = train_images.astype("float32") / 255
test_images = test_images.astype("float32") / 255

# 5. one-hot labels
train_targets = to_categorical(train_labels, 10)
test_targets = to_categorical(test_labels, 10)

# 6. the network
model = Sequential()
model.add(Conv2D(32, kernel_size=2, padding="same", activation="relu", input_shape=(28, 28, 1)))
model.add(MaxPooling2D(pool_size=2, strides=2, padding="same"))
model.add(Conv2D(64, kernel_size=2, padding="same", activation="relu"))
model.add(MaxPooling2D(pool_size=2, strides=2, padding="same"))
model.add(Flatten())
model.add(Dense(128, activation="relu"))
model.add(Dense(10, activation="softmax"))

# 7. its table
model.summary()

# 8. compile
model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])

# 9. train
history = model.fit(
    train_images, train_targets, batch_size=200, epochs=10, verbose=1, validation_data=(test_images, test_targets)
)
for epoch, accuracy in enumerate(history.history["val_accuracy"], start=1):
    print(f"epoch {epoch}: test accuracy {accuracy:.4f}")

# 10. evaluate
score = model.evaluate(test_images, test_targets, verbose=0)
print("test loss:", score[0])
print("test accuracy:", score[1])

# 11. predict, and the ones it got wrong
probabilities = model.predict(test_images)
guesses = probabilities.argmax(axis=1)
wrong = np.where(guesses != test_labels)[0]
print(f"{len(wrong)} of {len(test_labels)} wrong")
for index in wrong[:12]:
    print(f"{index} / {class_names[guesses[index]]} / {class_names[test_labels[index]]}")

# 12. save, load and train on
model.save("fashion_cnn.h5")
model = load_model("fashion_cnn.h5")
model.fit(train_images, train_targets, batch_size=200, epochs=1, verbose=2)
