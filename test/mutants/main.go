// Command mutants shows that the tests bite.
//
// A test that passes proves little unless it fails when the check that it is
// about is gone. Each NN-SR-11-….patch here removes exactly one security check.
// The command applies it to a clean copy of HEAD, runs the tests that the patch
// names, and demands that one fails whose name carries the patch's id. A patch
// that does not apply, does not compile or turns nothing red is an error, and so
// are tests that fail without any patch.
//
//	go run ./test/mutants [-only SR-11,07] [-j 2] [-v] [-C dir]
//
// It needs git and tar. Nothing of the working tree is read but the patches, and
// nothing in it is changed.
//
// Exit codes: 0 every mutant was killed, 1 one survived or failed, 2 usage, or
// nothing could be tried.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

func main() {
	only := flag.String("only", "", "ids (SR-11) or numbers (07) of patches, separated by commas; default all")
	jobs := flag.Int("j", max(1, runtime.NumCPU()/2), "how many patches are tried at once")
	verbose := flag.Bool("v", false, "print all failed tests of each patch, and the output of what went wrong")
	dir := flag.String("C", ".", "the root of the repository")
	flag.Parse()
	if flag.NArg() > 0 || *jobs < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	killed, all, err := run(ctx, *dir, *only, *jobs, *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(2)
	}
	fmt.Printf("\n%d of %d mutants killed\n", killed, all)
	if killed < all {
		stop()
		os.Exit(1)
	}
}

// run tries the chosen patches and prints what became of each.
func run(ctx context.Context, dir, only string, jobs int, verbose bool) (killed, all int, err error) {
	patches, err := readPatches(filepath.Join(dir, "test", "mutants"))
	if err != nil {
		return 0, 0, err
	}
	if patches, err = choose(patches, only); err != nil {
		return 0, 0, err
	}
	temp, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(temp)
	jobs = min(jobs, len(patches))
	trees := make(chan tree, jobs)
	for i := range jobs {
		t := tree(filepath.Join(temp, fmt.Sprint(i)))
		if err := t.fill(ctx, dir); err != nil {
			return 0, 0, fmt.Errorf("copy HEAD: %w", err)
		}
		trees <- t
	}
	t := <-trees
	err = t.baseline(ctx, patches)
	trees <- t
	if err != nil {
		return 0, 0, err
	}

	verdicts := make([]verdict, len(patches))
	ready := make([]chan struct{}, len(patches))
	var trying sync.WaitGroup
	for i := range patches {
		ready[i] = make(chan struct{})
	}
	trying.Go(func() {
		for i, p := range patches {
			t := <-trees
			trying.Go(func() {
				defer func() { trees <- t }()
				began := time.Now()
				verdicts[i] = t.try(ctx, p)
				verdicts[i].took = time.Since(began)
				close(ready[i])
			})
		}
	})
	for i, p := range patches {
		<-ready[i]
		v := verdicts[i]
		if v.err == nil {
			killed++
		}
		fmt.Printf("%s  %-6s  %-34s  %s\n", p.number, p.id, p.name, v.String())
		if verbose {
			for _, line := range v.details {
				fmt.Println("        " + strings.TrimRight(line, "\n"))
			}
		}
	}
	trying.Wait()
	return killed, len(patches), ctx.Err()
}

// choose keeps the patches with one of the ids or numbers in only.
func choose(patches []patch, only string) ([]patch, error) {
	if only == "" {
		return patches, nil
	}
	var out []patch
	for want := range strings.SplitSeq(only, ",") {
		n := len(out)
		for _, p := range patches {
			if p.id == want || p.number == want {
				out = append(out, p)
			}
		}
		if len(out) == n {
			return nil, fmt.Errorf("no patch is about %s", want)
		}
	}
	return out, nil
}
