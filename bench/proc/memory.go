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

// socketSlabs are the kernel's caches of which each TCP socket and its descriptor
// take objects. The socket's dentry (192 bytes) is left out: files have such too.
var socketSlabs = map[string]bool{
	"TCP": true, "sock_inode_cache": true, "filp": true, "bfilp": true, "eventpoll_epi": true, "eventpoll_pwq": true,
	"ep_head": true, "lsm_inode_cache": true, "lsm_file_cache": true,
}

// Sockets is what the kernel holds for sockets and open files, in bytes, for the
// whole machine: of /proc/slabinfo, which only root may read, else all of the slab.
// Buffers of data under way are not in it.
func Sockets() (int64, error) {
	f, err := os.Open("/proc/slabinfo")
	if err != nil {
		m, err := sizes("/proc/meminfo")
		return m["Slab"], err
	}
	defer f.Close()
	var sum int64
	for s := bufio.NewScanner(f); s.Scan(); {
		var name string
		var active, all, size int64
		if n, _ := fmt.Sscan(s.Text(), &name, &active, &all, &size); n == 4 && socketSlabs[name] {
			sum += active * size
		}
	}
	return sum, nil
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
