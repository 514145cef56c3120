"""Definitions as compiled functions: bytes to values and JSON, values to bytes, locate codes to tickers."""

from gateway.decode.codec import MessageCodec
from gateway.decode.codecs import Codecs
from gateway.decode.directory import Directory
from gateway.decode.encoder import EncodeError
from gateway.decode.text import json_text

__all__ = ["Codecs", "Directory", "EncodeError", "MessageCodec", "json_text"]
