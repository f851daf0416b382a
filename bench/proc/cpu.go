package proc

import (
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is time that processors have spent.
type CPU struct {
	Total        time.Duration // exact, from the clock of each process
	User, System time.Duration // in ticks of 10 ms; only their proportion is of use
}

// Sub returns what was spent since an earlier reading.
func (c CPU) Sub(earlier CPU) CPU {
	return CPU{c.Total - earlier.Total, c.User - earlier.User, c.System - earlier.System}
}

const tick = time.Second / 100 // USER_HZ

// CPU reads the clocks of all processes of the tree, threads that ended included.
func (t Tree) CPU() (sum CPU, err error) {
	for _, pid := range t {
		var ts unix.Timespec
		// clock_getcpuclockid(3): the clock of a process that is not our own.
		if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
			return sum, fmt.Errorf("CPU clock of process %d: %w", pid, err)
		}
		sum.Total += time.Duration(ts.Nano())
		f, err := stat(pid)
		if err != nil {
			return sum, err
		}
		user, _ := strconv.ParseInt(f[statUser], 10, 64)
		system, _ := strconv.ParseInt(f[statSystem], 10, 64)
		sum.User += time.Duration(user) * tick
		sum.System += time.Duration(system) * tick
	}
	return sum, nil
}
