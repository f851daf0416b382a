//go:build linux && (amd64 || arm64)

package poll

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"unsafe"
)

// refusing runs f where the kernel refuses a system call with this first argument,
// as a container's filter (seccomp) does.
func refusing(t *testing.T, call, first int, f func()) {
	t.Helper()
	const (
		noNewPrivileges = 38 // PR_SET_NO_NEW_PRIVS
		filtered        = 2  // SECCOMP_MODE_FILTER
		refuse          = 0x00050000 | uint32(syscall.EPERM)
		allow           = 0x7fff0000
		load, ret       = syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS, syscall.BPF_RET | syscall.BPF_K
		equal           = syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K
	)
	filter := []syscall.SockFilter{
		{Code: load, K: 0}, // the number of the call
		{Code: equal, K: uint32(call), Jf: 3},
		{Code: load, K: 16}, // the lower half of the first argument
		{Code: equal, K: uint32(first), Jf: 1},
		{Code: ret, K: refuse},
		{Code: ret, K: allow},
	}
	program := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	var errno syscall.Errno
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // the thread ends with the goroutine, and the filter with it
		if _, _, errno = syscall.RawSyscall6(syscall.SYS_PRCTL, noNewPrivileges, 1, 0, 0, 0, 0); errno != 0 {
			return
		}
		_, _, errno = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_SECCOMP, filtered, uintptr(unsafe.Pointer(&program)))
		if errno == 0 {
			f()
		}
	}()
	<-done
	if errno != 0 {
		t.Skipf("the kernel has no filters: %v", errno)
	}
}

// A sandbox may refuse calls that are newer than itself, with whatever error.
func TestWaiterInASandboxIsNeverBusy(t *testing.T) {
	w, in, take := waiterOfPipe(t)
	refusing(t, 441, w.sockets, func() { // epoll_pwait2
		for i := range 4 * eager {
			in.Write([]byte{1})
			w.mustWait(t)
			take()
			if i > eager && w.busy {
				t.Error("the loop counts as busy where it cannot wait in the kernel")
				return
			}
		}
	})
}

// Where Go cannot poll an epoll instance, nobody would wake a loop: there is none
// then, and connections are fed in another way.
func TestNoWaiterThatNobodyWakes(t *testing.T) {
	near, far := tcp(t) // so that Go polls
	near.Close()
	far.Close()
	runtimes := -1 // the first epoll instance of the process
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		kind, _ := os.Readlink(link)
		if fd, err := strconv.Atoi(filepath.Base(link)); err == nil && kind == "anon_inode:[eventpoll]" && (runtimes < 0 || fd < runtimes) {
			runtimes = fd
		}
	}
	if runtimes < 0 {
		t.Skip("Go's poller was not found")
	}
	refusing(t, syscall.SYS_EPOLL_CTL, runtimes, func() {
		w, err := newWaiter()
		if err == nil {
			w.end()
			w.free()
			t.Error("a waiter was made that Go does not poll")
		}
	})
}
