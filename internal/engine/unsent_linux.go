package engine

import (
	"net"
	"syscall"
)

// maxUnsent is how many bytes the kernel takes for a connection beyond what it has
// sent.
const maxUnsent = 128 << 10

// BoundUnsent has the kernel take no more than 128 KiB ahead of what it sends, for
// a TCP connection, under whatever lies above it. By itself the kernel takes up to
// 4 MB, and says that there is room again when a third of that was acknowledged:
// a peer that reads slowly and steadily would look as one that does not read.
func BoundUnsent(c net.Conn) {
	const notSentLowat = 25 // TCP_NOTSENT_LOWAT, which package syscall does not name
	for {
		if t, ok := c.(*net.TCPConn); ok {
			if raw, err := t.SyscallConn(); err == nil {
				raw.Control(func(fd uintptr) {
					syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowat, maxUnsent)
				})
			}
			return
		}
		below, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		c = below.NetConn()
	}
}
