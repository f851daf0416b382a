package proc

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Memory is what processes hold, in bytes.
type Memory struct {
	RSS  int64 // resident, pages that are shared counted once for each process
	PSS  int64 // resident, shared pages divided among those who share them
	Peak int64 // the highest RSS so far
}

// Memory sums up the processes of the tree.
func (t Tree) Memory() (sum Memory, err error) {
	for _, pid := range t {
		rollup, err := sizes(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return sum, err
		}
		status, err := sizes(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return sum, err
		}
		sum.RSS += rollup["Rss"]
		sum.PSS += rollup["Pss"]
		sum.Peak += status["VmHWM"]
	}
	return sum, nil
}

// Slab is what the kernel holds for small objects, sockets among them, in bytes,
// for the whole machine.
func Slab() (int64, error) {
	m, err := sizes("/proc/meminfo")
	return m["Slab"], err
}

// sizes reads lines of the form "Name:  123 kB".
func sizes(path string) (map[string]int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m := map[string]int64{}
	for s := bufio.NewScanner(f); s.Scan(); {
		name, rest, ok := strings.Cut(s.Text(), ":")
		number, unit, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if n, err := strconv.ParseInt(number, 10, 64); ok && err == nil && unit == "kB" {
			m[name] = n << 10
		}
	}
	return m, nil
}
