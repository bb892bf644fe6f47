"""The HTTP connection itself: how bytes come in and go out. Knows sockets and aiohttp, no registry word."""
