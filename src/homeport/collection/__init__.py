"""Bytes that nobody refers to any more: found, asked about once more, and let go while pushes go on."""
