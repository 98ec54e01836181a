#!/usr/bin/env python3
"""Makes the sample logs beside it, always the same: python3 generate.py [DIRECTORY [ACCESS_LINES]]"""

import sys
from pathlib import Path

directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
access_lines = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
state = 1


def below(n):
    global state
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    return (state >> 33) % n


def pick(choices):
    return choices[below(len(choices))]


AGENTS = [
    "curl/8.5.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1",
    "-",
]
PATHS = ["/", "/index.html", "/api/v1/orders", "/static/app.js", "/search?q=a+b&line=3", "/wp-login.php"]

with open(directory / "access.log", "w") as out:
    for i in range(access_lines):
        seconds = i // 7
        time = f"23/Nov/2026:{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02} +0000"
        query = f"{pick(['GET', 'GET', 'GET', 'POST', 'HEAD'])} {pick(PATHS)} HTTP/1.1"
        out.write(
            f"10.{below(4)}.{below(256)}.{below(256)} - - [{time}] \"{query}\" "
            f"{pick([200, 200, 200, 304, 404, 500])} {below(90000)} \"-\" \"{pick(AGENTS)}\"\n"
        )

MESSAGES = [
    "sshd[{n}]: Accepted publickey for root from 192.0.2.{b} port {n} ssh2",
    "kernel: [{n}.{b}] eth0: link\tup\t1000\tfull",
    "app[{n}]: \x1b[31mERROR\x1b[0m \x1b[1mdisk {b} is slow\x1b[0m",
    "app[{n}]: 注文 {n} を受け付けました(在庫 {b} 個)",
    "app[{n}]: deployed 🚀 v1.{b} ✅ “naïve” café",
    "app[{n}]: names: \u202eevil\u202c a\u2028b c\u0085d \u061c\u2066x\u2069 e\u0301",
    "app[{n}]: C:\\temp\\new.txt file=1 line={n} pass=0",
    "app[{n}]: bell\x07 backspace\x08 delete\x7f nul\x00 end",
    "app[{n}]: the text ended …[+{n} bytes]",
]

with open(directory / "syslog.log", "w", newline="\n") as out:
    for i in range(600):
        message = pick(MESSAGES).format(n=below(30000), b=below(255))
        out.write(f"Nov 23 11:{i // 60 % 60:02}:{i % 60:02} host-{below(3)} {message}\n")

with open(directory / "odd.log", "wb") as out:
    out.write(b"\n\n \n  two spaces  \n")
    out.write(b"windows line\r\n")
    out.write(b"invalid: \xff\xfe, cut short: \xe6\x97, overlong: \xc0\xaf, surrogate: \xed\xa0\x80\n")
    out.write(b"latin-1: caf\xe9\n")
    out.write(("long: " + "0123456789abcde\t" * 2500 + "日本語とても長い🦀" * 2250 + "\n").encode())
    out.write(b"just below the limit: " + b"x" * 65000 + b"\n")
    out.write(b"\x00\x01\x02\x7f\n\n")
    out.write("the last line has no end: 終".encode())
