package load

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// newSleep returns a sleep that wakes within some tens of microseconds, by a
// timer of the kernel that the runtime's poller waits for, and what gives the
// timer back. Where there is none it is time.Sleep.
func newSleep() (sleep func(time.Duration), release func()) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return time.Sleep, func() {}
	}
	f := os.NewFile(uintptr(fd), "timer")
	return func(d time.Duration) {
		at := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(d, 1)))}
		var rung [8]byte
		if unix.TimerfdSettime(fd, 0, &at, nil) != nil {
			time.Sleep(d)
		} else if _, err := f.Read(rung[:]); err != nil {
			time.Sleep(d)
		}
	}, func() { f.Close() }
}
