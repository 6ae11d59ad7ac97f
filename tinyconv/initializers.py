"""Where weights start: Glorot, He, normal, uniform, zeros, ones and constants, drawn from a named Philox stream.

Fan-in and fan-out count the inputs and outputs of one weight: for a convolution (kh, kw, in, out) they are kh·kw·in and
kh·kw·out, for a dense layer (in, out) they are in and out.
"""
