package engine_test

import (
	"net"
	"syscall"
	"testing"

	"github.com/sallyport/sallyport/internal/engine"
)

// under is a socket that a listener has wrapped.
type under struct{ net.Conn }

func (u under) NetConn() net.Conn { return u.Conn }

// A peer that reads slowly and steadily is told from one that does not read: the
// kernel takes little ahead, so that it has room again soon.
func TestLittleIsTakenAhead_SR74_AT51(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	engine.BoundUnsent(under{c})
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	raw.Control(func(fd uintptr) { got, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, 25) })
	if err != nil || got != 128<<10 {
		t.Errorf("the kernel takes %d bytes ahead, %v", got, err)
	}
	near, far := net.Pipe()
	engine.BoundUnsent(near) // no socket
	near.Close()
	far.Close()
}
