// Command requirements lists every requirement (SR-…) and attack (AT-…) with
// the tests that carry its id.
//
// It stops a requirement from being forgotten, or from losing its test: it fails
// if a required id is in no test, if a deferred one has no reason, and if a test
// carries an id that does not exist. It says nothing of what a test is worth;
// that is what the mutants in test/mutants are for.
//
// The list is ids.tsv. An id counts in the name of a Go test function
// (TestHost_SR13, TestRenew_SR42_AT71) and in any string literal of a Go,
// JavaScript, TypeScript or Python test ("SR-13 AT-05 a rebound name"), in names
// of Python test functions, and in names and comments of txtar scripts.
//
//	go run ./test/requirements [-q] [-C dir]
//
// Exit codes: 0 all is well, 1 something is missing, 2 usage or an unreadable file.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	dir := flag.String("C", ".", "the root of the repository")
	quiet := flag.Bool("q", false, "print only what is missing, and the sum")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	list, err := readList(filepath.Join(*dir, "test", "requirements", "ids.tsv"))
	if err != nil {
		fail(err)
	}
	places, err := scan(*dir)
	if err != nil {
		fail(err)
	}
	out := bufio.NewWriter(os.Stdout)
	good := report(out, list, places, *quiet)
	if err := out.Flush(); err != nil {
		fail(err)
	}
	if !good {
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "requirements:", err)
	os.Exit(2)
}

// report writes the list and reports whether nothing is missing.
func report(w io.Writer, list []requirement, places map[string][]place, quiet bool) bool {
	known := map[string]bool{}
	var missing, unreasoned, strange []string
	required, covered := 0, 0
	for _, r := range list {
		known[r.id] = true
		at := places[r.id]
		if !quiet {
			fmt.Fprintf(w, "%-6s  %s\n", r.id, r.title)
		}
		switch {
		case r.deferred:
			if !quiet {
				fmt.Fprintf(w, "        deferred: %s\n", r.reason)
			}
			if r.reason == "" {
				unreasoned = append(unreasoned, r.id)
			}
		default:
			required++
			if len(at) > 0 {
				covered++
			} else {
				missing = append(missing, r.id+" "+r.title)
			}
		}
		if !quiet {
			for _, p := range gather(at) {
				fmt.Fprintf(w, "        %s\n", p)
			}
		}
	}
	for _, id := range sortedKeys(places) {
		if !known[id] {
			for _, p := range gather(places[id]) {
				strange = append(strange, id+" in "+p)
			}
		}
	}
	section(w, "Required, and in no test:", missing)
	section(w, "Deferred without a reason:", unreasoned)
	section(w, "In a test, and not in ids.tsv:", strange)
	fmt.Fprintf(w, "\n%d of %d required ids have tests; %d are deferred\n", covered, required, len(list)-required)
	return len(missing)+len(unreasoned)+len(strange) == 0
}

func section(w io.Writer, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	for _, l := range lines {
		fmt.Fprintf(w, "  %s\n", l)
	}
}
