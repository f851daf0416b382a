package main

import (
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/sallyport/sallyport/bench/wire"
)

// sink throws away what arrives at connections, in the kernel. It takes their
// sockets from the runtime's poller, whose wake-ups would be charged to whoever
// sends.
type sink struct {
	epoll int
	fds   []int
	lost  atomic.Int64
}

func newSink(conns []*wire.Conn) (*sink, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	s := &sink{epoll: epoll}
	for _, c := range conns {
		if err := s.take(c); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// take moves a connection's socket from the runtime to the sink.
func (s *sink) take(c *wire.Conn) error {
	raw, err := c.TCP.SyscallConn()
	if err != nil {
		return err
	}
	var dup int
	err2 := raw.Control(func(fd uintptr) { dup, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	s.fds = append(s.fds, dup)
	c.TCP.Close()
	return unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, dup, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(dup)})
}

// close resets the connections.
func (s *sink) close() {
	for _, fd := range s.fds {
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		unix.Close(fd)
	}
	unix.Close(s.epoll)
}

// drain throws away until stop is closed and nothing more comes.
func (s *sink) drain(stop chan struct{}) {
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(s.epoll, events, 20)
		if err != nil && err != unix.EINTR {
			return
		}
		if n <= 0 {
			select {
			case <-stop:
				return
			default:
				continue
			}
		}
		for _, e := range events[:n] {
			if !drop(int(e.Fd)) {
				s.lost.Add(1)
				unix.EpollCtl(s.epoll, unix.EPOLL_CTL_DEL, int(e.Fd), nil)
			}
		}
	}
}

// dropAtOnce is how much one call throws away, in bytes.
const dropAtOnce = 1 << 20

// drop throws away what has arrived, and reports whether the connection lives.
// For TCP MSG_TRUNC discards without touching the buffer, which may be nil (tcp(7)).
func drop(fd int) bool {
	n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd), 0, dropAtOnce, unix.MSG_TRUNC|unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
		return n > 0
	case unix.EAGAIN, unix.EINTR:
		return true
	}
	return false
}
