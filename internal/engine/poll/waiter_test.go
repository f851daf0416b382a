//go:build linux

package poll

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// waiterOfPipe is a waiter and a pipe in it.
func waiterOfPipe(t *testing.T) (w *waiter, in *os.File, take func()) {
	t.Helper()
	w, err := newWaiter()
	if err != nil {
		t.Fatal(err)
	}
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_NONBLOCK|syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	in = os.NewFile(uintptr(pipe[1]), "pipe")
	t.Cleanup(func() { w.end(); w.free(); in.Close(); syscall.Close(pipe[0]) })
	ev := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: 7}
	if err := syscall.EpollCtl(w.sockets, syscall.EPOLL_CTL_ADD, pipe[0], &ev); err != nil {
		t.Fatal(err)
	}
	return w, in, func() { syscall.Read(pipe[0], make([]byte, 8)) }
}

func (w *waiter) mustWait(t *testing.T) {
	t.Helper()
	events, err := w.wait()
	if err != nil || len(events) != 1 || events[0].Fd != 7 {
		t.Fatalf("waited for %v, %v, not for the one event", events, err)
	}
}

func TestWaiterIsBusyOnlyWhileMuchHappens(t *testing.T) {
	w, in, take := waiterOfPipe(t)
	for range 3 {
		for range eager {
			in.Write([]byte{1})
			w.mustWait(t)
			take()
		}
		if !w.busy && w.short >= 0 { // as long as the kernel can
			t.Fatalf("after %d short waits the loop is not busy", eager)
		}
		for late := 20 * linger; w.busy; late *= 2 { // for ever, if no wait is long
			time.AfterFunc(late, func() { in.Write([]byte{1}) })
			w.mustWait(t)
			take()
		}
	}
}

func TestWaiterEnds(t *testing.T) {
	for _, busy := range []bool{false, true} {
		w, in, take := waiterOfPipe(t)
		for busy && !w.busy && w.short >= 0 {
			in.Write([]byte{1})
			w.mustWait(t)
			take()
		}
		time.AfterFunc(linger/2, w.end)
		if _, err := w.wait(); err == nil {
			t.Errorf("busy %v: the wait did not end", busy)
		}
	}
}
