package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// Waits for a door to come to rest: at least for what counts refusals and lingers
// at the end of a socket, at most for what the collector gives back in its time.
const (
	restAtLeast = 12 * time.Second
	restAtMost  = 90 * time.Second
)

// play warms the doors up, measures, plays, measures again, and compares.
func play(ctx context.Context, o options, s *site, doors []*door) error {
	warm := min(max(o.length/5, 30*time.Second), 5*time.Minute)
	fmt.Printf("soak: warming up for %s, playing for %s, %d doors\n", warm, o.length, len(doors))
	if _, err := phase(ctx, "warming up", warm, o, s, doors); err != nil {
		return err
	}
	before, err := settle(doors, nil, nil)
	if err != nil {
		return err
	}
	l, err := phase(ctx, "playing", o.length, o, s, doors)
	if err != nil {
		return err
	}
	after, err := settle(doors, before, l)
	if err != nil {
		return err
	}
	l.tell()
	table(doors, before, after)
	var errs []error
	for i, d := range doors {
		for _, more := range after[i].fits(before[i], l.revoked[d.name]) {
			errs = append(errs, fmt.Errorf("%s: %s", d.name, more))
		}
	}
	done, failed := l.counts()
	fmt.Printf("soak: %d visits and reloads, %d did not go as they should\n", done, failed)
	if failed > 1+done/200 {
		errs = append(errs, errors.New("too many visits did not go as they should"))
	}
	if len(errs) == 0 {
		fmt.Println("soak: every door holds what it held before")
	}
	return errors.Join(errs...)
}

// phase plays for a while and reports each minute. An interrupt ends it early.
func phase(ctx context.Context, name string, length time.Duration, o options, s *site, doors []*door) (*load, error) {
	within, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	l := &load{site: s, doors: doors, most: o.rate, share: o.share}
	ended := make(chan struct{})
	go func() { // ends soon after within, which every visit looks at
		defer close(ended)
		l.run(within)
	}()
	began, used := time.Now(), l.cpu()
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case <-ended:
			l.report(name, time.Since(began), l.cpu()-used)
			return l, nil
		case <-minute.C:
			l.report(name, time.Since(began), l.cpu()-used)
		}
		for _, d := range doors {
			if !d.alive() {
				cancel()
				<-ended
				return nil, fmt.Errorf("the door %s has died", d.name)
			}
		}
	}
}

// report prints a line for the clients and one for each door.
func (l *load) report(name string, passed, cpu time.Duration) {
	done, failed := l.counts()
	fmt.Printf("%s %s for %s: %d visits done, %d open, %d not as they should, %d withheld; %.0f/s now, %.1f processors\n",
		time.Now().Format("15:04:05"), name, passed.Round(time.Second), done, l.open.Load(), failed, l.withheld.Load(),
		float64(l.rate.Load())/1000, cpu.Seconds()/passed.Seconds())
	for _, d := range l.doors {
		f, err := d.look()
		if err != nil {
			fmt.Printf("  %-18s %v\n", d.name, err)
			continue
		}
		fmt.Printf("  %-18s %d connections, %d goroutines, %d threads, %d descriptors, heap %s, resident %s (most %s), %d late events\n",
			d.name, f.connections, f.goroutines, f.threads, f.files, mib(f.heap), mib(f.resident), mib(f.most), f.late)
	}
}

// settle measures the doors at rest. before is nil the first time.
func settle(doors []*door, before []figures, l *load) ([]figures, error) {
	all := make([]figures, len(doors))
	errs := make([]error, len(doors))
	done := make(chan int)
	for i, d := range doors {
		go func() {
			fits := func(f figures) bool { return f.connections == 0 }
			if before != nil {
				fits = func(f figures) bool { return len(f.fits(before[i], l.revoked[d.name])) == 0 }
			}
			all[i], errs[i] = d.settled(restAtLeast, restAtMost, fits)
			if before == nil && errs[i] == nil {
				all[i], errs[i] = d.swing(all[i])
			}
			done <- i
		}()
	}
	for range doors {
		<-done
	}
	return all, errors.Join(errs...)
}

func table(doors []*door, before, after []figures) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join([]string{"door", "goroutines", "descriptors", "heap MiB", "resident MiB", "most MiB", "threads", "late events"}, "\t"))
	for i, d := range doors {
		b, a := before[i], after[i]
		fmt.Fprintf(w, "%s\t%d → %d\t%d → %d\t%s → %s\t%s → %s\t%s\t%d → %d\t%d\n", d.name, b.goroutines, a.goroutines, b.files, a.files,
			mib(b.heap), mib(a.heap), mib(b.resident), mib(a.resident), mib(a.most), b.threads, a.threads, a.late)
	}
	w.Flush()
}

func mib(n int64) string { return fmt.Sprintf("%.1f", float64(n)/(1<<20)) }
