# Many TCP sockets in one process, which do what the test says: `translating.py`. Each line of JSON on
# stdin is a command, {"id": 1, "op": "open", ...}, answered by a line with its id; commands do not
# wait for each other. Of both families. Bounded by itself: it ends after 50 seconds, and when its
# starter has gone.
import asyncio
import errno
import hashlib
import json
import random
import signal
import socket
import struct
import sys

IPPROTO_MPTCP = 262
TCP_MD5SIG = 14
# The first byte of struct tcp_info says so once nothing is left of a connection but its TIME_WAIT.
TCP_CLOSE = 7
LONGEST_LINE = 1 << 20

connections = {}
listeners = {}
# Who said what at which of our ports: [peer, its port, text], in order.
seen = {}


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def plain(address):
    """That of IPv4 of which an IPv6 socket knows."""
    return address.removeprefix("::ffff:")


def sign(made, address, key):
    """struct tcp_md5sig of linux/tcp.h: what goes to the address and comes from it (RFC 2385)."""
    text = key.encode()
    ours = socket.inet_pton(made.family, address)
    if made.family == socket.AF_INET6:
        peer = struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, ours, 0)
    else:
        peer = struct.pack("=HH4s", socket.AF_INET, 0, ours)
    option = peer.ljust(128, b"\0") + struct.pack("=BBHi", 0, 0, len(text), 0)
    made.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, option + text.ljust(80, b"\0"))


def made(family, asked):
    ours = socket.socket(family, socket.SOCK_STREAM, IPPROTO_MPTCP if asked.get("mptcp") else 0)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ours.setblocking(False)
    if "md5" in asked:
        sign(ours, **asked["md5"])
    return ours


def reset(writer):
    """Closes with a reset instead of a FIN."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def closed(writer):
    """Nothing is left of it, or the kernel sees to what is."""
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        pass


async def serve(reader, writer):
    """
    Answers each line with where it was heard and of whom. "close" and "reset" say how to end; at the
    end of the stream comes the sum of it.
    """
    port = writer.get_extra_info("sockname")[1]
    peer, peer_port = writer.get_extra_info("peername")[:2]
    peer = plain(peer)
    sum_of_all, length = hashlib.sha256(), 0
    try:
        while line := await reader.readline():
            sum_of_all.update(line)
            length += len(line)
            text = line.decode().rstrip("\n")
            if text == "reset":
                reset(writer)
                return
            if text == "close":
                writer.close()
                return
            if len(text) <= 100:
                seen[port].append([peer, peer_port, text])
                answer = {"port": port, "peer": peer, "peerPort": peer_port, "text": text}
                writer.write(f"{json.dumps(answer)}\n".encode())
        writer.write(f"{json.dumps({'length': length, 'sha256': sum_of_all.hexdigest()})}\n".encode())
        await writer.drain()
    except OSError:
        pass
    writer.close()


async def op_listen(asked):
    """On a port of an address. `accepting`: or leaves those who come in the backlog."""
    address, port = asked.get("address", "::"), asked["port"]
    ours = made(family_of(address), asked)
    if address == "::":
        ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    ours.bind((address, port))
    seen.setdefault(port, [])
    backlog = asked.get("backlog", 4096)
    ours.listen(backlog)
    listeners[port] = ours
    if asked.get("accepting", True):
        await op_accept({"port": port, "backlog": backlog})
    return {}


async def op_accept(asked):
    ours = listeners[asked["port"]]
    await asyncio.start_server(
        serve, sock=ours, backlog=asked.get("backlog", 4096), limit=LONGEST_LINE)
    return {}


async def op_seen(asked):
    return {"seen": seen[asked["port"]]}


async def connect(ours, address):
    """As asyncio does it, which knows nothing of the protocol of MPTCP."""
    error = ours.connect_ex(address)
    if error == errno.EINPROGRESS:
        loop, there = asyncio.get_running_loop(), asyncio.Event()
        loop.add_writer(ours, there.set)
        await there.wait()
        loop.remove_writer(ours)
        error = ours.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, "connect")


async def open_one(asked):
    """`from`: our own port, which others of our sockets may have too."""
    ours = made(family_of(asked["address"]), asked)
    if "from" in asked or "source" in asked:
        ours.bind((asked.get("source", ""), asked.get("from", 0)))
    try:
        await connect(ours, (asked["address"], asked["port"]))
    except OSError as error:
        ours.close()
        return {"error": errno.errorcode[error.errno]}
    reader, writer = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE)
    connections[asked["key"]] = reader, writer
    return {"localPort": ours.getsockname()[1]}


async def ask_one(asked):
    """The answer to a line; null for the end of the stream."""
    reader, writer = connections[asked["key"]]
    try:
        writer.write(f"{asked['text']}\n".encode())
        line = await reader.readline()
    except OSError as error:
        return {"error": errno.errorcode[error.errno]}
    return {"answer": json.loads(line) if line else None}


async def op_open_all(asked):
    return {"results": await asyncio.gather(*(open_one(each) for each in asked["all"]))}


async def op_ask_all(asked):
    return {"results": await asyncio.gather(*(ask_one(each) for each in asked["all"]))}


async def op_pour(asked):
    """Writes lines of noise, so many bytes, and gives their sum; `key` is open for more."""
    _, writer = connections[asked["key"]]
    noise = random.Random(asked["bytes"])
    sum_of_all, left = hashlib.sha256(), asked["bytes"]
    while left > 0:
        length = min(left, 1000)
        line = noise.randbytes(length).hex()[: length - 1].encode() + b"\n"
        sum_of_all.update(line)
        left -= length
        writer.write(line)
        await writer.drain()
    return {"length": asked["bytes"], "sha256": sum_of_all.hexdigest()}


async def op_finish(asked):
    """Says that nothing more comes, and gives what is answered to that, to the end."""
    reader, writer = connections.pop(asked["key"])
    writer.write_eof()
    try:
        lines = (await reader.read()).decode().splitlines()
    except OSError as error:
        return {"error": errno.errorcode[error.errno]}
    await closed(writer)
    return {"answers": [json.loads(line) for line in lines]}


async def op_close(asked):
    """Without a word, and without waiting for the peer; `reset`: rudely."""
    for key in asked["keys"]:
        _, writer = connections.pop(key)
        if asked.get("reset"):
            reset(writer)
        await closed(writer)
    return {}


async def op_settle(asked):
    """Closes what the peer has ended, and waits until the port is free for another connection."""
    _, writer = connections.pop(asked["key"])
    ours = writer.get_extra_info("socket")
    writer.write_eof()
    while ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != TCP_CLOSE:
        await asyncio.sleep(0.001)
    await closed(writer)
    return {}


async def end_somehow(how, key):
    if how == "finish":
        return await op_finish({"key": key})
    if how == "reset":
        return await op_close({"keys": [key], "reset": True})
    await ask_one({"key": key, "text": how.removeprefix("please ")})
    settle = op_settle if how == "please close" else op_close
    return await settle({"key": key, "keys": [key]})


async def churn_from(own, asked):
    """One connection after the other from one port; gives those that were not answered as meant."""
    chance, wrong = random.Random(own), []
    for number in range(asked["times"]):
        key, port = f"{own} {number}", chance.choice(asked["ports"])
        opened = await open_one({"key": key, "address": asked["address"], "port": port, "from": own})
        if "error" in opened:
            wrong.append([key, port, opened])
            continue
        for text in (f"{key} to {port}", f"{key} again to {port}"):
            result = await ask_one({"key": key, "text": text})
            answer = result.get("answer") or {}
            if (answer.get("port"), answer.get("text")) != (port, text):
                wrong.append([key, port, result])
        await end_somehow(chance.choice(["finish", "reset", "please close", "please reset"]), key)
    return wrong


async def op_churn(asked):
    """From each of our ports so many, to ports that chance decides on, ended as it says too."""
    wrong = await asyncio.gather(*(churn_from(own, asked) for own in asked["froms"]))
    return {"wrong": [each for of_port in wrong for each in of_port]}


async def op_ended(asked):
    """Waits until the peer has ended it; gives how."""
    reader, writer = connections.pop(asked["key"])
    try:
        rest = await reader.read()
    except OSError as error:
        return {"error": errno.errorcode[error.errno]}
    writer.close()
    return {"rest": rest.decode()}


OPS = {name.removeprefix("op_"): op for name, op in globals().items() if name.startswith("op_")}


async def run(command):
    try:
        result = await OPS[command["op"]](command)
    except Exception as error:
        result = {"failed": repr(error)}
    print(json.dumps({"id": command["id"], **result}), flush=True)


async def main():
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader(limit=16 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    print(json.dumps({"event": "ready"}), flush=True)
    running = set()
    while line := await commands.readline():
        task = asyncio.create_task(run(json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)


signal.alarm(50)
asyncio.run(main())
