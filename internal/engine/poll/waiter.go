//go:build linux

package poll

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

// batchSize is how many events the kernel reports at once.
const batchSize = 128

// linger is how long a busy loop waits in the kernel itself. Its processor is kept
// from other goroutines meanwhile, unless the scheduler misses it earlier.
const linger = 200 * time.Microsecond

// eager is after how many waits shorter than that a loop counts as busy.
const eager = 8

// waiter waits for events of the sockets of one loop. A loop that is busy waits in
// the kernel: one system call for a batch of events. Else it is parked by Go's own
// poller, which holds no thread and takes about four.
type waiter struct {
	sockets int      // an epoll instance
	parked  *os.File // another, which watches sockets while the loop is not busy; Go polls it
	raw     syscall.RawConn

	// Owned by the goroutine that waits.
	events [batchSize]syscall.EpollEvent
	n      int // of events
	err    error
	busy   bool
	short  int       // waits in a row
	since  time.Time // nothing has arrived; zero if something had at once
	try    func(fd uintptr) bool
}

func newWaiter() (*waiter, error) {
	sockets, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	parked, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		syscall.Close(sockets)
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	ev := syscall.EpollEvent{Events: syscall.EPOLLIN}
	if err = syscall.EpollCtl(parked, syscall.EPOLL_CTL_ADD, sockets, &ev); err == nil {
		err = syscall.SetNonblock(parked, true)
	}
	w := &waiter{sockets: sockets, parked: os.NewFile(uintptr(parked), "epoll")}
	if err == nil {
		w.raw, err = w.parked.SyscallConn()
	}
	if err == nil {
		err = w.parked.SetReadDeadline(time.Time{}) // fails if Go could not poll it: nobody would be woken
	}
	if err != nil {
		w.parked.Close()
		w.free()
		return nil, err
	}
	w.try = w.look
	return w, nil
}

// end has the wait in progress, or the next one, fail.
func (w *waiter) end() { w.parked.Close() }

// free follows the last wait.
func (w *waiter) free() { syscall.Close(w.sockets) }

// wait returns what has happened, at least one event.
func (w *waiter) wait() ([]syscall.EpollEvent, error) {
	if w.busy {
		runtime.Gosched() // whom the last events have woken comes first
		n, err := waitFor(w.sockets, w.events[:], linger)
		if n > 0 {
			return w.events[:n], nil
		}
		w.busy, w.short = false, 0
		if err != nil {
			w.short = -1 << 30 // Linux before 5.11, or a sandbox that knows no newer one
		}
		if err := w.watch(syscall.EPOLLIN); err != nil {
			return nil, err
		}
	}
	w.since = time.Time{}
	if err := w.raw.Read(w.try); err != nil {
		return nil, err
	}
	if w.err != nil {
		return nil, w.err
	}
	if !w.since.IsZero() && time.Since(w.since) > linger {
		w.short = min(w.short, 0)
	} else if w.short++; w.short >= eager {
		w.busy = true
		if err := w.watch(0); err != nil {
			return nil, err
		}
	}
	return w.events[:w.n], nil
}

// look asks without waiting.
func (w *waiter) look(uintptr) (done bool) {
	for {
		w.n, w.err = syscall.EpollWait(w.sockets, w.events[:], 0)
		if w.err != syscall.EINTR {
			break
		}
	}
	if w.n == 0 && w.since.IsZero() {
		w.since = time.Now()
	}
	return w.n != 0
}

// watch has the parked instance report so much of the other one.
func (w *waiter) watch(events uint32) (err error) {
	ev := syscall.EpollEvent{Events: events}
	closed := w.raw.Control(func(fd uintptr) {
		err = os.NewSyscallError("epoll_ctl", syscall.EpollCtl(int(fd), syscall.EPOLL_CTL_MOD, w.sockets, &ev))
	})
	if closed != nil {
		return closed
	}
	return err
}
