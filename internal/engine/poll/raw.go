//go:build linux && (amd64 || arm64 || riscv64 || loong64 || ppc64le)

package poll

import (
	"syscall"
	"time"
	"unsafe"
)

// What reads and writes sockets does not tell Go's scheduler: with MSG_DONTWAIT
// the kernel never waits, whatever the mode of the socket.
const dontWait = syscall.MSG_DONTWAIT | syscall.MSG_NOSIGNAL

func receive(fd int32, b []byte) (int, error) { return move(syscall.SYS_RECVFROM, fd, b) }

func send(fd int32, b []byte) (int, error) { return move(syscall.SYS_SENDTO, fd, b) }

// move is either.
func move(call uintptr, fd int32, b []byte) (int, error) {
	for {
		n, _, err := syscall.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), dontWait, 0, 0)
		switch err {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, err
		}
	}
}

// sendBoth sends a and b, which is not empty, in one call.
func sendBoth(fd int32, a, b []byte) (int, error) {
	parts := [2]syscall.Iovec{{Base: unsafe.SliceData(a)}, {Base: unsafe.SliceData(b)}}
	parts[0].SetLen(len(a))
	parts[1].SetLen(len(b))
	message := syscall.Msghdr{Iov: &parts[0], Iovlen: 2}
	for {
		n, _, err := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&message)), dontWait)
		switch err {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, err
		}
	}
}

// waitFor is epoll_wait with a time finer than milliseconds (Linux 5.11).
func waitFor(fd int, events []syscall.EpollEvent, most time.Duration) (int, error) {
	const epollPwait2 = 441
	for {
		by := syscall.NsecToTimespec(int64(most))
		n, _, err := syscall.Syscall6(epollPwait2, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)),
			uintptr(unsafe.Pointer(&by)), 0, 0)
		switch err {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, err
		}
	}
}
