"""An echo server made of the Python package websockets, as its documentation
shows it: one of the unchanged backends behind the door.

It prints one JSON object a line. Two texts are orders: "cmd:close CODE REASON"
and "cmd:ping DATA", answered by "pong DATA" once the pong has come.
"""

import asyncio
import json

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


def tell(**what):
    print(json.dumps(what), flush=True)


async def echo(ws):
    tell(event="open", path=ws.request.path, protocol=ws.subprotocol or "")
    try:
        async for message in ws:
            if isinstance(message, str) and message.startswith("cmd:close "):
                code, reason = message[len("cmd:close "):].split(" ", 1)
                await ws.close(int(code), reason)
            elif isinstance(message, str) and message.startswith("cmd:ping "):
                data = message[len("cmd:ping "):]
                await (await ws.ping(data))
                await ws.send("pong " + data)
            else:
                await ws.send(message)
    except ConnectionClosed:
        pass
    tell(event="closed", code=ws.close_code, reason=ws.close_reason)


def choose(_, offered):
    return next((p for p in ("chat.v2", "chat.v1") if p in offered), None)


async def main():
    options = {"select_subprotocol": choose, "max_size": 16 << 20}
    async with serve(echo, "127.0.0.1", 0, **options) as server:
        tell(event="listening", port=server.sockets[0].getsockname()[1])
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
