package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// figures are what a process holds.
type figures struct {
	connections, goroutines, threads, files int
	heap                                    int64 // bytes allocated; after collections in settled
	resident, most                          int64 // bytes; the most there ever were
	collected                               float64
	late                                    int           // events
	cpu                                     time.Duration // used so far
}

// look reads the figures of a door.
func (d *door) look() (f figures, err error) {
	m, err := d.metrics()
	if err != nil {
		return f, err
	}
	f.connections, f.goroutines, f.threads = int(m[`sallyport_connections{transport="websocket"}`]), int(m["go_goroutines"]), int(m["go_threads"])
	f.heap, f.collected, f.late = int64(m["go_memstats_heap_alloc_bytes"]), m["go_memstats_last_gc_time_seconds"], int(m["sallyport_engine_late_events_total"])
	proc := fmt.Sprintf("/proc/%d/", d.command.Process.Pid)
	list, err := os.ReadDir(proc + "fd")
	if err != nil {
		return f, err
	}
	f.files = len(list)
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		return f, err
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			fmt.Sscan(text, &f.resident)
		} else if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			fmt.Sscan(text, &f.most)
		}
	}
	f.resident, f.most = f.resident<<10, f.most<<10
	f.cpu, err = used(proc)
	return f, err
}

// used is the time that a process has had of the processors.
func used(proc string) (time.Duration, error) {
	stat, err := os.ReadFile(proc + "stat")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("%sstat: %q", proc, stat)
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	return time.Duration(user+system) * tick, nil
}

// scrapes is the client for /metrics: a connection for each, so that the ones
// that it keeps are not counted as the door's.
var scrapes = http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}

func (d *door) metrics() (map[string]float64, error) {
	response, err := scrapes.Get("http://" + d.health + "/metrics")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	m := map[string]float64{}
	for scan := bufio.NewScanner(response.Body); scan.Scan(); {
		if i := strings.LastIndexByte(scan.Text(), ' '); i > 0 && scan.Text()[0] != '#' {
			m[scan.Text()[:i]], _ = strconv.ParseFloat(scan.Text()[i+1:], 64)
		}
	}
	return m, nil
}

// What may be more at the end than at the beginning. The heap: the door remembers
// revocations for 7 days, half a KiB each at most with the index. Residence: what
// the collector leaves unused is given back by and by, at most a fifth.
const (
	heapSlack       = 3 << 20
	perRevocation   = 512
	residentSlack   = 8 << 20
	residentPortion = 5
)

// fits reports what f holds more than before.
func (f figures) fits(before figures, revoked int) (more []string) {
	check := func(what string, now, limit int64) {
		if now > limit {
			more = append(more, fmt.Sprintf("%s: %d, at most %d were to be left", what, now, limit))
		}
	}
	check("connections", int64(f.connections), 0)
	check("goroutines", int64(f.goroutines), int64(before.goroutines))
	check("descriptors", int64(f.files), int64(before.files))
	check("heap", f.heap, before.heap+heapSlack+int64(revoked)*perRevocation)
	check("resident", f.resident, before.resident+before.resident/residentPortion+residentSlack+2*int64(revoked)*perRevocation)
	return more
}

// settled returns what a door holds when nothing happens: after at least rest, and
// as soon as it fits, or after most. Reading the figures makes garbage, which
// brings about the collections that are waited for; the heap is that of the first
// look after the last one.
func (d *door) settled(rest, most time.Duration, fits func(figures) bool) (best figures, err error) {
	began, heap, collections, last := time.Now(), int64(0), 0, 0.0
	for time.Since(began) < most {
		f, err := d.look()
		if err != nil {
			return f, err
		}
		if f.collected != last {
			collections, last = collections+1, f.collected
			heap = f.heap
		}
		if best = f; heap > 0 {
			best.heap = heap
		}
		if time.Since(began) > rest && collections > 2 && fits(best) {
			break
		}
		pause := 50 * time.Millisecond
		if collections > 2 {
			pause = time.Second
		}
		time.Sleep(pause)
	}
	return best, nil
}

// swing adds to f what goroutines and descriptors are at most while nothing
// happens: reading the figures takes some of both, for moments.
func (d *door) swing(f figures) (figures, error) {
	for range 30 {
		now, err := d.look()
		if err != nil {
			return f, err
		}
		f.goroutines, f.files = max(f.goroutines, now.goroutines), max(f.files, now.files)
		time.Sleep(50 * time.Millisecond)
	}
	return f, nil
}
