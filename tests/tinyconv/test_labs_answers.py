"""Answers to the labs that look nothing like the solutions: right ones pass, wrong ones get the right hint anyway."""

import pytest

from tinyconv import labs
from tinyconv.labs.checking import check_source

IM2COL = """
import numpy as np
def im2col(x, kernel_size, strides=(1, 1), padding=(0, 0)):
    N, H, W, C = x.shape
    out = []
    for n in range(N):
        for top in range(-padding[0], H + padding[0] - kernel_size[0] + 1, strides[0]):
            for left in range(-padding[1], W + padding[1] - kernel_size[1] + 1, strides[1]):
                row = []
                for r in range(top, top + kernel_size[0]):
                    for s in range(left, left + kernel_size[1]):
                        for c in range(C):
                            row.append(x[n, r, s, c] if 0 <= r < H and 0 <= s < W else 0)
                out.append(row)
    return np.array(out, dtype=x.dtype)
"""
COL2IM = """
import numpy as np
def col2im(cols, x_shape, kernel_size, strides=(1, 1), padding=(0, 0)):
    N, H, W, C = x_shape
    x = np.zeros(x_shape, dtype=cols.dtype)
    row = 0
    for n in range(N):
        for top in range(-padding[0], H + padding[0] - kernel_size[0] + 1, strides[0]):
            for left in range(-padding[1], W + padding[1] - kernel_size[1] + 1, strides[1]):
                place = 0
                for p in range(kernel_size[0]):
                    for q in range(kernel_size[1]):
                        for c in range(C):
                            if 0 <= top + p < H and 0 <= left + q < W:
                                x[n, top + p, left + q, c] += cols[row, place]
                            place += 1
                row += 1
    return x
"""
CONVOLUTION = """
import numpy as np
def conv2d_forward(x, w, b, strides=(1, 1), padding=(0, 0)):
    N, H, W, C = x.shape
    kh, kw, _, F = w.shape
    P = np.zeros((N, H + 2 * padding[0], W + 2 * padding[1], C), dtype=x.dtype)
    P[:, padding[0]:padding[0] + H, padding[1]:padding[1] + W, :] = x
    OH = 1 + (P.shape[1] - kh) // strides[0]
    OW = 1 + (P.shape[2] - kw) // strides[1]
    y = np.empty((N, OH, OW, F), dtype=x.dtype)
    for n in range(N):
        for i in range(OH):
            for j in range(OW):
                window = P[n, i * strides[0]:i * strides[0] + kh, j * strides[1]:j * strides[1] + kw, :]
                for f in range(F):
                    y[n, i, j, f] = np.sum(window * w[:, :, :, f]) + b[f]
    return y
"""
GRADIENTS = """
import numpy as np
def conv2d_backward(dy, x, w, strides=(1, 1), padding=(0, 0)):
    N, H, W, C = x.shape
    kh, kw, _, F = w.shape
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(F, dtype=x.dtype)
    for n in range(N):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                g = dy[n, i, j]
                db += g
                for p in range(kh):
                    for q in range(kw):
                        r = i * strides[0] + p - padding[0]
                        s = j * strides[1] + q - padding[1]
                        if 0 <= r < H and 0 <= s < W:
                            dx[n, r, s] += w[p, q] @ g
                            dw[p, q] += np.outer(x[n, r, s], g)
    return dx, dw, db
"""
POOLING = """
import numpy as np
def pooled(x, pool_size, strides, padding):
    N, H, W, C = x.shape
    oh = (H + 2 * padding[0] - pool_size[0]) // strides[0] + 1
    ow = (W + 2 * padding[1] - pool_size[1]) // strides[1] + 1
    y, where = np.zeros((N, oh, ow, C), x.dtype), {}
    for n, i, j, c in np.ndindex(N, oh, ow, C):
        best = -np.inf
        for p in range(pool_size[0]):
            for q in range(pool_size[1]):
                r, s = i * strides[0] + p - padding[0], j * strides[1] + q - padding[1]
                pixel = x[n, r, s, c] if 0 <= r < H and 0 <= s < W else -np.inf
                if pixel > best:
                    best, where[n, i, j, c] = pixel, (n, r, s, c)
        y[n, i, j, c] = best
    return y, where
def maxpool_forward(x, pool_size, strides, padding=(0, 0)):
    return pooled(x, pool_size, strides, padding)[0]
def maxpool_backward(dy, x, pool_size, strides, padding=(0, 0)):
    dx = np.zeros_like(x)
    for place, winner in pooled(x, pool_size, strides, padding)[1].items():
        if 0 <= winner[1] < x.shape[1] and 0 <= winner[2] < x.shape[2]:
            dx[winner] += dy[place]
    return dx
"""
LOSS = """
import numpy as np
def softmax_cross_entropy(logits, labels):
    n, k = logits.shape
    loss, d = 0, np.zeros_like(logits)
    for i in range(n):
        row = logits[i] - np.max(logits[i])
        total = np.sum(np.exp(row))
        loss += np.log(total) - row[labels[i]]
        for j in range(k):
            d[i, j] = (np.exp(row[j]) / total - (j == labels[i])) / n
    return loss / n, d
"""
DROPOUT = """
import numpy as np
def dropout_forward(x, rate, random, training):
    mask = (random >= rate).astype(x.dtype) / (1.0 - rate)
    return x * mask.astype(x.dtype) if training else x.copy()
def dropout_backward(dy, rate, random):
    keep = random >= rate
    dx = dy.copy()
    dx[~keep] = 0
    dx[keep] *= 1 / (1.0 - rate)
    return dx
"""
ADAM = """
import numpy as np
def adam_step(p, g, m, v, t, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    p, m, v = p.copy(), m.copy(), v.copy()
    m += (1 - beta_1) * (g - m)
    v += (1 - beta_2) * (g * g - v)
    c1, c2 = 1 - np.power(beta_1, t), 1 - np.power(beta_2, t)
    p -= (learning_rate / c1 * m / (np.sqrt(v / c2) + epsilon)).astype(p.dtype)
    return p, m, v
"""
NORMALISATION = """
import numpy as np
def batchnorm_backward(dy, x, gamma, epsilon=1e-3):
    X, D = x.reshape(-1, x.shape[-1]), dy.reshape(-1, x.shape[-1])
    m = len(X)
    mu = X.mean(0)
    var = ((X - mu) ** 2).mean(0)
    inv = (var + epsilon) ** -0.5
    hat = (X - mu) * inv
    dhat = D * gamma
    dvar = (dhat * (X - mu)).sum(0) * -0.5 * inv**3
    dmu = -(dhat * inv).sum(0)
    dx = dhat * inv + dvar * 2 * (X - mu) / m + dmu / m
    return dx.reshape(x.shape), (D * hat).sum(0), D.sum(0)
"""
TRAINING = """
import numpy as np
def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)
def train(x, labels, w, b, orders, batch_size, learning_rate):
    w, b, losses = w.copy(), b.copy(), np.zeros(len(orders))
    for e in range(len(orders)):
        xs, ts = x[orders[e]], labels[orders[e]]
        i = 0
        while i < len(xs):
            xb, tb = xs[i:i + batch_size], ts[i:i + batch_size]
            p = softmax(xb @ w + b)
            losses[e] += -np.log(p[np.arange(len(tb)), tb]).sum() / len(xs)
            p[np.arange(len(tb)), tb] -= 1
            w -= learning_rate * xb.T @ p / len(tb)
            b -= learning_rate * p.sum(0) / len(tb)
            i += batch_size
    return w, b, losses
"""

# Per lab: a right answer in other words, and edits of it, each with a part of its hint.
ANSWERS = {
    "im2col": (IM2COL, [
        ([("- kernel_size[0] + 1, strides[0])", "- kernel_size[0] + 1)"),
          ("- kernel_size[1] + 1, strides[1])", "- kernel_size[1] + 1)")], "strides in the number of windows"),
        ([("- kernel_size[0] + 1", "- kernel_size[0]"), ("- kernel_size[1] + 1", "- kernel_size[1]")], "end with + 1"),
        ([("padding=(0, 0)):", "padding=(0, 0)):\n    padding = (0, 0)")], "forgot the padding"),
        ([("padding=(0, 0)):", "padding=(0, 0)):\n    padding = padding[::-1]")], "swapped the padding"),
        ([("padding=(0, 0)):", "padding=(0, 0)):\n    strides = strides[::-1]")], "swapped the strides"),
        ([("for r in range(top, top + kernel_size[0])", "for s in range(left, left + kernel_size[1])"),
          ("for s in range(left, left + kernel_size[1]):\n                        for c",
           "for r in range(top, top + kernel_size[0]):\n                        for c")], "q changes faster than p"),
        ([("dtype=x.dtype)", "dtype=x.dtype).T")], "one window is one row"),
        ([(", dtype=x.dtype", ", dtype=float")], "float64 unless told"),
    ]),
    "col2im": (COL2IM, [
        ([("] += cols", "] = cols")], "with +="),
        ([("[row, place]", "[row, place] / (kernel_size[0] * kernel_size[1])")], "times the right one"),
        ([("for p in range(kernel_size[0]):\n                    for q in range(kernel_size[1])",
           "for q in range(kernel_size[1]):\n                    for p in range(kernel_size[0])")],
         "windows transposed"),
        ([("dtype=cols.dtype", "dtype=np.float64")], "float64 unless told"),
        ([("range(-padding[0], H + padding[0]", "range(0, H + 2 * padding[0]"),
          ("range(-padding[1], W + padding[1]", "range(0, W + 2 * padding[1]")], "on one side only"),
        ([("for c in range(C):\n", "for c in reversed(range(C)):\n")], "mirrored along axis 3"),
    ]),
    "conv2d_forward": (CONVOLUTION, [
        ([(" + b[f]", "")], "forgot the bias"),
        ([("window * w[:, :, :, f]", "window * w[::-1, ::-1, :, f]")], "turned round"),
        ([("i * strides[0]:i * strides[0] + kh", "i:i + kh"), ("j * strides[1]:j * strides[1] + kw", "j:j + kw")],
         "forgot the strides: the window"),
        ([("padding=(0, 0)):", "padding=(0, 0)):\n    strides = (1, 1)")], "strides in the size of y"),
        ([("padding=(0, 0)):", "padding=(0, 0)):\n    padding = (0, 0)")], "forgot the padding"),
        ([("padding[0]:padding[0] + H, padding[1]:padding[1] + W", ":H, :W")], "below and on the right only"),
        ([("window * w[:, :, :, f]", "window[:, :, 0] * w[:, :, 0, f]")], "one channel only"),
        ([("F), dtype=x.dtype)", "F))")], "float64 unless told"),
        ([("return y", "return y.transpose(0, 2, 1, 3)")], "transpose(0, 2, 1, 3)"),
        ([("return y", "return 2 * y")], "2 times the right one"),
    ]),
    "conv2d_backward": (GRADIENTS, [
        ([("dx[n, r, s] += w[p, q] @ g", "dx[n, r, s] += w[kh - 1 - p, kw - 1 - q] @ g")], "dx is turned round"),
        ([("return dx, dw, db", "return dx, dw[::-1, ::-1], db")], "dw is turned round"),
        ([("dx[n, r, s] +=", "dx[n, r, s] =")], "overwrite each other"),
        ([("i * strides[0]", "i"), ("j * strides[1]", "j")], "forgot the strides"),
        ([("return dx, dw, db", "return dx, dw / N, db")], "dw is the sum over the images"),
        ([("return dx, dw, db", "return dx, dw, dy.mean((0, 1, 2))")], "yours is the mean"),
        ([("return dx, dw, db", "return dx, dw, dy.sum(0)")], "over the batch only"),
        ([("return dx, dw, db", "return dx, dw.transpose(0, 1, 3, 2), db")], "Channels and filters are swapped"),
        ([("return dx, dw, db", "return -dx, dw, db")], "the sign is wrong"),
        ([("dx[n, r, s] += w[p, q] @ g", "dx[n, r, s] += w[q, p] @ g")], "kernel of your dx is transposed"),
        ([("dw[p, q] +=", "dw[p, q] =")], "overwrite each other in your dw"),
        ([("dw[p, q] += np.outer(x[n, r, s], g)", "pass")], "zero everywhere: is it ever written?"),
        ([("padding=(0, 0)):", "padding=(0, 0)):\n    strides = strides[::-1]")], "swapped the strides"),
        ([("if 0 <= r < H and 0 <= s < W", "if r >= 0 and s >= 0"),
          ("padding=(0, 0)):", "padding=(0, 0)):\n    strides = strides[::-1]")], "swapped the strides"),
        ([("return dx, dw, db", "return dx, dw, dy.sum((0, 1))")],
         "dy summed over axes 0 and 1; asked for is its sum over axes 0, 1 and 2."),
    ]),
    "maxpool_backward": (POOLING, [
        ([("else -np.inf", "else 0")], "Zero padding wins"),
        ([("pixel > best", "pixel >= best")], "Compare with >"),
        ([("dx[winner] += dy", "dx[winner] = dy")], "wins several windows"),
        ([("dx[winner] += dy[place]", "dx[winner] += dy[place] * x[winner]")], "times its pixel"),
        ([("for p in range(pool_size[0]):\n            for q in range(pool_size[1])",
           "for q in range(pool_size[1]):\n            for p in range(pool_size[0])")], "going down the columns"),
        ([("i * strides[0] + p", "i + p"), ("j * strides[1] + q", "j + q")], "forgot the strides"),
        ([("dx[winner] += dy[place]", """n, i, j, c = place
            top, left = i * strides[0] - padding[0], j * strides[1] - padding[1]
            k = (winner[1] - top) * pool_size[1] + winner[2] - left
            p, q = divmod(k, pool_size[0])
            dx[n, top + p, left + q, c] += dy[place]""")], "k // kw"),
    ]),
    "softmax_cross_entropy": (LOSS, [
        ([(" - (j == labels[i])) / n", " - (j == labels[i]))")], "lacks 1/n"),
        ([("return loss / n", "return loss")], "yours is their sum"),
        ([("return loss / n", "return -loss / n")], "lacks its minus sign"),
        ([("logits[i] - np.max(logits[i])", "logits[i]")], "overflow"),
        ([(" - (j == labels[i])", "")], "forgot to subtract 1"),
        ([("np.log(total) - row[labels[i]]", "-np.log(np.exp(row[labels[i]]) / total)")], "rounded to 0"),
        ([("return loss / n, d", "return loss / n, -d")], "wrong sign"),
        ([("np.max(logits[i])", "np.max(logits)")], "of each image, not of all"),
        ([("return loss / n, d", "logits[:] = 0\n    return 0, logits")], "zero everywhere"),
    ]),
    "dropout": (DROPOUT, [
        ([("astype(x.dtype) / (1.0 - rate)", "astype(x.dtype)"), ("*= 1 / (1.0 - rate)", "*= 1")], "forgot the factor"),
        ([("random >= rate", "random < rate")], "other way round"),
        ([("if training else x.copy()", "")], "Without training nothing is dropped"),
        ([("else x.copy()", "else x * (1 - rate)")], "Without training nothing is scaled"),
        ([("    dx[~keep] = 0\n", ""), ("dx[keep] *=", "dx *=")], "lets everything through"),
        ([("random >= rate", "random > rate")], ">=, not >"),
    ]),
    "adam_step": (ADAM, [
        ([("1 - np.power(beta_1, t), 1 - np.power(beta_2, t)", "1, 1")], "forgot the bias correction: p moves"),
        ([("np.power(beta_1, t)", "np.power(beta_1, t + 1)"), ("np.power(beta_2, t)", "np.power(beta_2, t + 1)")],
         "t + 1"),
        ([("p -=", "p +=")], "climbs"),
        ([("(g * g - v)", "(g - v)")], "forgot the square"),
        ([("(np.sqrt(v / c2) + epsilon)", "np.sqrt(v / c2 + epsilon)")], "not inside of it"),
        ([("np.sqrt(v / c2)", "(v / c2)")], "forgot the root"),
        ([("return p, m, v", "return p, m / c1, v / c2")], "You return m̂ and v̂"),
    ]),
    "batchnorm_backward": (NORMALISATION, [
        ([("dx = dhat * inv + dvar * 2 * (X - mu) / m + dmu / m", "dx = dhat * inv")], "for constants"),
        ([(" + dmu / m", "")], "term of the mean is missing"),
        ([(" + dvar * 2 * (X - mu) / m", "")], "term of the variance is missing"),
        ([("D * gamma", "D")], "forgot gamma"),
        ([("(var + epsilon)", "var")], "forgot ε"),
        ([("(X - mu) ** 2).mean(0)", "(X - mu) ** 2).sum(0) / (m - 1)"),
          ("dvar * 2 * (X - mu) / m", "dvar * 2 * (X - mu) / m")], "not by m - 1"),
        ([("(D * hat).sum(0)", "(D * X).sum(0)")], "not normalised"),
        ([("D.sum(0)\n", "D.mean(0)\n")], "dbeta is a sum"),
    ]),
    "training_loop": (TRAINING, [
        ([("w -= ", "w += "), ("b -= ", "b += ")], "You climb"),
        ([("            b -= learning_rate * p.sum(0) / len(tb)\n", "")], "b stays"),
        ([("while i < len(xs)", "while i + batch_size <= len(xs)")], "last batch is lost"),
        ([("xs, ts = x[orders[e]], labels[orders[e]]", "xs, ts = x, labels")], "their own order"),
        ([("xs, ts = x[orders[e]], labels[orders[e]]", "xs, ts = x[orders[e]], labels")], "not the labels"),
        ([("orders[e]]", "orders[0]]")], "order of the first"),
        ([("losses[e] += -np.log(p[np.arange(len(tb)), tb]).sum() / len(xs)",
           "losses[e] += -np.log(p[np.arange(len(tb)), tb]).mean()")], "the sum over its batches"),
        ([("/ len(tb)", "/ len(tb) ** 2")], "divided by the batch's size again"),
    ]),
}
WRONG_ANSWERS = [(lab, edits, part) for lab, (_, wrong) in ANSWERS.items() for edits, part in wrong]


def test_every_numpy_lab_is_answered_in_other_words():
    assert set(ANSWERS) == {lab.name for lab in labs.COURSE if lab.number <= 10}
    assert all(len(wrong) >= 5 for _, wrong in ANSWERS.values())


@pytest.mark.parametrize("which", ANSWERS)
def test_answer_in_other_words_is_right(which):
    result = check_source(labs.get(which), ANSWERS[which][0])
    assert result.ok, result


@pytest.mark.parametrize(("which", "edits", "part"), WRONG_ANSWERS, ids=str)
def test_wrong_answer_in_other_words_gets_the_hint(which, edits, part):
    lab, source = labs.get(which), ANSWERS[which][0]
    for old, new in edits:
        assert old in source
        source = source.replace(old, new)
    result = check_source(lab, source)
    assert not result.ok
    assert part in str(result.hint), result


WINDOWS = """
import numpy as np
def conv2d_backward(dy, x, w, strides=(1, 1), padding=(0, 0)):
    (kh, kw), (sh, sw), (ph, pw) = w.shape[:2], strides, padding
    P = np.pad(x, ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    dP, dw = np.zeros_like(P), np.zeros_like(w)
    for i in range(dy.shape[1]):
        for j in range(dy.shape[2]):
            window = np.s_[:, i * sh:i * sh + kh, j * sw:j * sw + kw]
            dw += np.einsum("npqc,nf->pqcf", P[window], dy[:, i, j])
            dP[window] += np.einsum("pqcf,nf->npqc", w, dy[:, i, j])
    return dP[:, ph:ph + x.shape[1], pw:pw + x.shape[2]], dw, dy.sum((0, 1, 2))
"""


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("= w.shape[:2], strides", "= w.shape[:2], strides[::-1]", "swapped the strides"),
        ("dw += np", "dw = np", "overwrite each other in your dw"),
        ("einsum(\"pqcf,nf->npqc\", w,", "einsum(\"pqcf,nf->npqc\", w.swapaxes(0, 1),", "dx is transposed"),
    ],
)
def test_gradients_window_by_window_get_the_hint(old, new, part):
    lab = labs.get("conv2d_backward")
    assert check_source(lab, WINDOWS).ok
    result = check_source(lab, WINDOWS.replace(old, new))
    assert part in str(result.hint), result


def test_a_function_that_stops_for_another_reason_gets_no_hint():
    """It stops where swapped strides would, but gives none of their wrong numbers."""
    lab = labs.get("conv2d_backward")
    source = WINDOWS.replace("    for i", "    if strides != (1, 1): raise ValueError('?')\n    for i", 1)
    result = check_source(lab, source)
    assert result.passed == 8
    assert result.hint is None
