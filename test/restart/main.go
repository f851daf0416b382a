// Command restart replaces the servers under the feet of 2,000 clients.
//
// Two nodes, each a sallyport of its own with its own state, stand behind a
// balancer and before one backend that writes down every message. The clients are
// those of this repository, in processes of their own: createClient in Node, or
// package client. Each sends a numbered message every few seconds, while node A
// is drained and replaced, and then node B; or while a node is killed.
//
// A referee, which sees the balancer and the backend but nothing of the clients,
// counts connections; in the end what the clients say about their messages is
// compared with what the backend has. It fails if somebody is not back, if the
// moves are not spread over the window of the drain, if a client made two
// attempts at a time or held two connections without a drain, or if a message
// that send had accepted is neither at the backend once nor reported as unknown.
//
//	test/restart/run              both clients, both ways, 2,000 each
//	test/restart/run -small       60 each, part of every test run
//	test/restart/run -kind go -how kill -clients 500
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	kinds, hows []string
	clients     int
	every       time.Duration // between two messages of one client
	ramp        time.Duration // over which the clients start
	pause       time.Duration // of ordinary life before and after each replacement
	delay       time.Duration // shutdown.delay
	drain       time.Duration // shutdown.drain; half of it is the window
	life        time.Duration // of a token
	stable      time.Duration // after which a client trusts a connection

	sallyport string // the program
	module    string // of createClient
	node      string // the command that runs it
	out       string // for logs and configurations
}

func parse(arguments []string) (o options, err error) {
	f := flag.NewFlagSet("restart", flag.ContinueOnError)
	kinds := f.String("kind", "js,go", "`clients` to run: js, go")
	hows := f.String("how", "rolling,kill", "`ways` to replace nodes: rolling, kill")
	small := f.Bool("small", false, "60 clients, in seconds")
	f.IntVar(&o.clients, "clients", 2000, "how many")
	f.StringVar(&o.sallyport, "sallyport", "bin/sallyport", "the program to test")
	f.StringVar(&o.module, "module", "js/client/dist/index.js", "the module with createClient")
	f.StringVar(&o.node, "node", "node", "the command that runs JavaScript")
	f.StringVar(&o.out, "out", "test/restart/out", "where logs go; it is emptied")
	if err := f.Parse(arguments); err != nil {
		return o, err
	}
	// The pause is longer than stable: a connection that is younger than that moves later.
	o.every, o.ramp, o.life = 4*time.Second, 20*time.Second, time.Minute
	o.stable, o.pause, o.delay, o.drain = 10*time.Second, 12*time.Second, time.Second, 25*time.Second
	if *small {
		o.clients, o.every, o.ramp, o.life = 60, time.Second, time.Second, 8*time.Second
		o.stable, o.pause, o.delay, o.drain = 500*time.Millisecond, time.Second, 300*time.Millisecond, 6*time.Second
	}
	o.kinds, o.hows = strings.Split(*kinds, ","), strings.Split(*hows, ",")
	if o.clients < 1 || o.clients > maxClients {
		return o, fmt.Errorf("-clients: 1 to %d", maxClients)
	}
	for _, name := range []*string{&o.module, &o.out, &o.sallyport} {
		if *name, err = filepath.Abs(*name); err != nil {
			return o, err
		}
	}
	return o, nil
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "drive" {
		exit(drive(os.Args[2], os.Stdin, os.Stdout))
	}
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		exit(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(all(ctx, o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "restart:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// all runs every scenario and prints one table.
func all(ctx context.Context, o options) error {
	if err := os.RemoveAll(o.out); err != nil {
		return err
	}
	var done []*figures
	var errs []error
	for _, kind := range o.kinds {
		for _, how := range o.hows {
			fmt.Printf("%s clients, %s: %d clients, a message every %s\n", kind, how, o.clients, o.every)
			began := time.Now()
			f, err := play(ctx, o, kind, how)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", kind, how, err)
			}
			f.lasted = time.Since(began)
			f.print(os.Stdout)
			for _, fault := range f.faults {
				errs = append(errs, fmt.Errorf("%s, %s: %s", kind, how, fault))
			}
			done = append(done, f)
		}
	}
	table(os.Stdout, done)
	return errors.Join(errs...)
}
