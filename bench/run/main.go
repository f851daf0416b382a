// Command run is the benchmark: it builds and installs the servers, has each of
// them measured in turn in every round, and writes what came out into
// bench/results and docs/PERFORMANCE.md.
//
//	go run ./run [-rows idle,echo] [-rounds 5] [-quick] [-report]
//
// It runs in the folder bench, on Linux. Nothing fails because it is slow.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/sallyport/sallyport/bench/report"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	rows := flag.String("rows", "all", "which rows, with commas: "+strings.Join(rowNames(), ", "))
	rounds := flag.Int("rounds", 5, "how many times each server is measured")
	quick := flag.Bool("quick", false, "a fraction of the connections and the time; prints and writes nothing")
	only := flag.String("servers", "", "only these servers, with commas; prints and writes nothing")
	again := flag.Bool("report", false, "measure nothing, write the page from bench/results")
	flag.Parse()
	root, err := filepath.Abs("..")
	if err != nil {
		log.Fatal(err)
	}
	if *again {
		if err := report.Write(root); err != nil {
			log.Fatal(err)
		}
		return
	}
	if *rounds < 1 || *rounds > 100 {
		log.Fatal("-rounds must be 1 to 100")
	}
	selected, err := selectRows(*rows)
	if err != nil {
		log.Fatal(err)
	}
	l, err := newLab(root, *quick)
	if err != nil {
		log.Fatal(err)
	}
	defer l.close()
	l.only = fields(*only)
	go l.interrupted() // ends with the process
	failed := false
	for _, row := range selected {
		r, err := l.run(row, *rounds)
		if err != nil { // ours must not; the others are measured all the same
			log.Print(row.name, ": ", err)
			failed = true
		}
		if *quick || *only != "" {
			fmt.Println(report.Text(r))
			continue
		}
		if err := l.save(r); err != nil {
			l.close()
			log.Fatal(err)
		}
	}
	if failed {
		l.close()
		os.Exit(1)
	}
}

// interrupted cleans up behind Ctrl-C. Servers and load clients die with us.
func (l *lab) interrupted() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	<-signals
	l.close()
	os.Exit(130)
}

// save writes a row's results and renews its section of the page.
func (l *lab) save(r *resultRow) error {
	if err := saveRow(filepath.Join(l.root, "bench", "results"), r); err != nil {
		return err
	}
	if err := report.Write(l.root); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "bench: wrote the section %s of docs/PERFORMANCE.md\n", r.Name)
	return nil
}

func fields(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}
