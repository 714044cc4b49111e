"""What `tests.privacy` reads in the output of strace."""

from __future__ import annotations

from pathlib import Path

from tests.privacy import Trace, sockets, whole_calls, written

FOLDER = Path("/w/own")


def test_a_file_that_is_opened_to_write_elsewhere_is_listed_by_its_whole_path() -> None:
    lines = [
        '7 openat(AT_FDCWD</w/own>, "a", O_WRONLY|O_CREAT, 0666) = 3</w/own/a>',
        '7 openat(4</home/u>, "b", O_RDWR|O_CREAT, 0666) = 3</home/u/b>',
        '7 openat(AT_FDCWD</w/own>, "/home/u/gone", O_RDWR, 0) = 5</home/u/gone>(deleted)',
        '7 openat(AT_FDCWD</w/own>, "/etc/passwd", O_RDONLY) = 3</etc/passwd>',
        '7 openat(AT_FDCWD</w/own>, "/root/c", O_WRONLY) = -1 EACCES (Permission denied)',
        '7 openat(AT_FDCWD</w/own>, "/dev/null", O_RDWR) = 3</dev/null<char 1:3>>',
    ]
    assert written(lines, FOLDER) == ("/home/u/b", "/home/u/gone")


def test_folders_and_renamed_files_count_as_written() -> None:
    lines = [
        '7 mkdir("/home/u/.config", 0700) = 0',
        '7 mkdir("own", 0700) = 0',
        '7 renameat2(AT_FDCWD</w/own>, "x", AT_FDCWD</home/u>, "y", RENAME_EXCHANGE) = 0',
        '7 rename("/w/own/a", "/home/u/a") = 0',
        '7 symlink("/home/u/target", "/w/own/link") = 0',
        '7 mkdir("/srv/x", 0700) = -1 EEXIST (File exists)',
    ]
    assert written(lines, FOLDER) == ("/home/u/.config", "/home/u/a", "/home/u/y")


def test_a_call_in_two_lines_is_read_as_one() -> None:
    lines = [
        '7 openat(AT_FDCWD</w/own>, "/srv/a", O_WRONLY|O_CREAT, 0666 <unfinished ...>',
        '8 openat(AT_FDCWD</w/own>, "/etc/x", O_RDONLY <unfinished ...>',
        "7 <... openat resumed>) = 3</srv/a>",
        "8 <... openat resumed>) = 4</etc/x>",
    ]
    assert written(whole_calls(lines), FOLDER) == ("/srv/a",)


def test_sockets_are_named_with_their_peers_and_others_only_by_their_family() -> None:
    lines = [
        "7 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3<TCP:[1]>",
        '7 bind(3<TCP:[1]>, {sa_family=AF_INET, sin_port=htons(0), '
        'sin_addr=inet_addr("127.0.0.1")}, 16) = 0',
        "7 socket(AF_UNIX, SOCK_STREAM, 0) = 4<UNIX:[2]>",
        "7 socket(AF_VSOCK, SOCK_STREAM, 0) = 4",
        "7 bind(5, {sa_family=AF_NETLINK, nl_pid=0, nl_groups=00000000}, 12) = 0",
        '7 connect(6<TCP:[3]>, {sa_family=AF_INET, sin_port=htons(443), '
        'sin_addr=inet_addr("192.0.2.7")}, 16) = -1 EINPROGRESS (Operation now in progress)',
        '7 connect(6, {sa_family=AF_INET6, sin6_port=htons(53), sin6_flowinfo=htonl(0), '
        'inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}, 28) = 0',
        '7 accept4(3, {sa_family=AF_INET, sin_port=htons(40000), '
        'sin_addr=inet_addr("127.0.0.1")}, [16], 0) = 8',
    ]  # fmt: skip
    found = sockets(lines)
    assert found == (
        "bind INET 127.0.0.1", "connect INET 192.0.2.7:443", "connect INET6 ::1:53",
        "socket UNIX", "socket VSOCK",
    )  # fmt: skip
    trace = Trace("x", 0, found, (), ())
    assert trace.beyond_this_machine == ("connect INET 192.0.2.7:443",)
