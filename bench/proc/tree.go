// Package proc reads what processes cost, from outside: CPU time and memory of a
// process and all its children. Linux only.
package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Tree is a process and its descendants, by process id.
type Tree []int

// Of returns the tree of a process as it is now. A process that ended has none.
func Of(root int) Tree {
	children := map[int][]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if f, err := stat(pid); err == nil {
			parent, _ := strconv.Atoi(f[statParent])
			children[parent] = append(children[parent], pid)
		}
	}
	var t Tree
	for todo := []int{root}; len(todo) > 0; todo = todo[1:] {
		if _, err := stat(todo[0]); err == nil {
			t = append(t, todo[0])
			todo = append(todo, children[todo[0]]...)
		}
	}
	return t
}

// Fields of /proc/PID/stat after the name of the command (proc(5)), from 0.
const (
	statParent = 1
	statUser   = 11
	statSystem = 12
)

// stat returns the fields of /proc/PID/stat behind the command's name, which may
// itself contain spaces and parentheses.
func stat(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return nil, fmt.Errorf("/proc/%d/stat: no command", pid)
	}
	var fields []string
	for f := range bytes.FieldsSeq(b[end+1:]) {
		fields = append(fields, string(f))
	}
	if len(fields) <= statSystem {
		return nil, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	return fields, nil
}
