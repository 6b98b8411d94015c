"""A real TCP connection over a wire of its own that is slow and loses packets, for tests.

    unshare -n python3 lossy_link.py IN OUT DELAY_MS LOSS

What connects to the Unix socket IN is connected to the Unix socket OUT, by TCP through a TUN device of a network that holds nothing
else. Each packet waits DELAY_MS, and the share LOSS of them is dropped, so that the kernel's own TCP does the rest: it measures,
sends again and slows down. Says `ready`, and at the end how many of how many packets were dropped.
"""

import asyncio
import fcntl
import os
import random
import signal
import struct
import subprocess
import sys

NEAR, FAR, PORT = "10.9.0.1", "10.9.0.2", 7000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CHUNK = 64 * 1024


def wire() -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"wire", IFF_TUN | IFF_NO_PI))
    for command in ("link set lo up", f"addr add {NEAR}/24 dev wire", "link set wire mtu 1500 up"):
        subprocess.run(["ip", *command.split()], check=True)
    return device


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(CHUNK):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def both(near: tuple, far: tuple) -> None:
    await asyncio.gather(carry(near[0], far[1]), carry(far[0], near[1]))


async def main(inside: str, outside: str, delay_ms: str, loss: str) -> None:
    device, loop = wire(), asyncio.get_running_loop()
    dice, seconds, share = random.Random(7), float(delay_ms) / 1000, float(loss)
    counts = {"all": 0, "dropped": 0}

    def packet() -> None:
        data = os.read(device, 65536)
        if data[0] >> 4 != 4:
            return
        counts["all"] += 1
        if dice.random() < share:
            counts["dropped"] += 1
            return
        # To whom it went, it comes back from: both ends are this one host. The checksums add up to the same.
        turned = data[:12] + data[16:20] + data[12:16] + data[20:]
        loop.call_later(seconds, os.write, device, turned)

    loop.add_reader(device, packet)

    async def arrived(*near: object) -> None:
        await both(near, await asyncio.open_unix_connection(outside))

    async def entered(*near: object) -> None:
        await both(near, await asyncio.open_connection(FAR, PORT))

    await asyncio.start_server(arrived, NEAR, PORT)
    await asyncio.start_unix_server(entered, inside)
    print("ready", flush=True)
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    await over.wait()
    print(f"dropped {counts['dropped']} of {counts['all']}", flush=True)
    os._exit(0)


asyncio.run(main(*sys.argv[1:]))
