"""MNIST with a convolutional network, as one writes it for Keras; only the import lines say tinyconv."""

import numpy as np

from tinyconv.datasets import mnist
from tinyconv.layers import Conv2D, Dense, Flatten, MaxPooling2D
from tinyconv.models import Sequential, load_model
from tinyconv.utils import to_categorical

# the data
(X_train, y_train), (X_test, y_test) = mnist.load_data()
print(X_train.shape, y_train.shape, X_test.shape, y_test.shape)
print("pixels:", X_train.dtype, X_train.min(), "to", X_train.max())
print("images of each digit:", np.bincount(y_train))

# prepare: one channel, floats from 0 to 1, one-hot labels
X_train = X_train.reshape((X_train.shape[0], 28, 28, 1))
X_test = X_test.reshape((X_test.shape[0], 28, 28, 1))
X_train = X_train.astype("float32") / 255
X_test = X_test.astype("float32") / 255
y_train = to_categorical(y_train)
y_test = to_categorical(y_test)
print(y_train.shape, y_train[0])

# the network
cnn = Sequential()
cnn.add(Conv2D(filters=64, kernel_size=(3, 3), activation="relu", input_shape=(28, 28, 1)))
cnn.add(MaxPooling2D(pool_size=(2, 2)))
cnn.add(Conv2D(filters=128, kernel_size=(3, 3), activation="relu"))
cnn.add(MaxPooling2D(pool_size=(2, 2)))
cnn.add(Flatten())
cnn.add(Dense(units=128, activation="relu"))
cnn.add(Dense(units=10, activation="softmax"))
cnn.summary()

# train
cnn.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
history = cnn.fit(X_train, y_train, epochs=5, batch_size=64, validation_split=0.1)
print(history.history["val_accuracy"])

# evaluate
loss, accuracy = cnn.evaluate(X_test, y_test)
print(f"test loss {loss:.4f}, test accuracy {accuracy:.4f}")

# predict: what the network thinks of the first image
predictions = cnn.predict(X_test)
for digit, probability in enumerate(predictions[0]):
    print(f"{digit}: {probability:.10%}")

# the ones it got wrong
expected = np.argmax(y_test, axis=1)
predicted = np.argmax(predictions, axis=1)
wrong = np.flatnonzero(predicted != expected)
print(len(wrong), "misclassified")
images = X_test.reshape((X_test.shape[0], 28, 28))
for index in wrong[:24]:
    print(f"index {index}: predicted {predicted[index]}, expected {expected[index]}, ink {images[index].sum():.0f}")

# keep it
cnn.save("mnist_cnn.h5")
same_cnn = load_model("mnist_cnn.h5")
print("largest difference after loading:", np.abs(same_cnn.predict(X_test) - predictions).max())
