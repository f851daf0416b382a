// Command long plays everything that may happen to a door, for an hour or as
// long as it is told, and wants nothing to be left afterwards (AT-54).
//
//	SOAK=1h make soak
//	go run ./test/soak/long -sallyport bin/sallyport -for 1h -engines poll,portable
//
// Each engine has two doors, a process each: `sallyport serve`, which relays, and a
// Go program with handlers. Clients come and go, with resumed TLS and without; some
// read slowly or never, reset, close half of a socket, send garbage, parts of
// records, too much; handlers block, panic and hold up their loop; credentials
// expire and are revoked; certificates and origins are reloaded every 10 s. It uses
// no more than half of the processors.
//
// After a warm-up of a fifth of the time, 30 s to 5 min, it measures what an idle
// door holds, plays, and measures again: no goroutine or descriptor more, and no
// memory beyond what is remembered on purpose. It needs Linux, for /proc and all of
// 127.0.0.0/8. Exit codes: 0; 1 when something was left, or more than one visit in
// 200 did not go as it should; 2 usage.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/test/soak/wire"
)

type options struct {
	sallyport string
	length    time.Duration
	engines   []string
	rate      float64
	share     float64
	dir       string
	only      string
}

func main() {
	var o options
	var engines, role string
	flag.StringVar(&o.sallyport, "sallyport", "bin/sallyport", "the program")
	flag.DurationVar(&o.length, "for", 3*time.Minute, "how long to play, without warm-up and settling")
	flag.StringVar(&engines, "engines", "poll,portable", "the engines, all at once")
	flag.Float64Var(&o.rate, "rate", 60, "the most visits a second")
	flag.Float64Var(&o.share, "share", 0.5, "of the processors that doors and clients together may use")
	flag.StringVar(&o.dir, "dir", "", "where logs are left; default a temporary directory, kept if something fails")
	flag.StringVar(&o.only, "only", "", "play the scenarios whose names contain this")
	flag.StringVar(&role, "direct", "", "(the program starts itself with this)")
	flag.Parse()
	o.engines = strings.Split(engines, ",")
	for _, e := range o.engines {
		if e != "poll" && e != "portable" || flag.NArg() > 0 || o.length <= 0 || o.rate < 1 || o.share <= 0 {
			flag.Usage()
			os.Exit(2)
		}
	}
	scenarios = slices.DeleteFunc(scenarios, func(s scenario) bool { return !strings.Contains(s.name, o.only) })
	err := error(nil)
	if role != "" {
		err = direct(role, o.engines[0])
	} else {
		err = soak(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// soak plays it all.
func soak(o options) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "sallyport-soak-"); err != nil {
			return err
		}
		defer func() {
			if err == nil {
				err = os.RemoveAll(o.dir)
			} else {
				fmt.Println("logs are in", o.dir)
			}
		}()
	} else if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	s, err := newSite(o.dir)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	go serveBackend(l) // ends with the listener
	var doors []*door
	defer func() {
		for _, d := range doors {
			if e := d.stop(); e != nil && err == nil {
				err = e
			}
		}
	}()
	for _, engine := range o.engines {
		for _, k := range []kind{relayed, handled} {
			d, e := startDoor(s, o.sallyport, engine, k, "ws://"+l.Addr().String())
			if d != nil && d.command.Process != nil {
				doors = append(doors, d)
			}
			if e != nil {
				return e
			}
		}
	}
	return play(ctx, o, s, doors)
}

// serveBackend accepts the connections of relaying doors until l is closed.
func serveBackend(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { // ends with the door's leg
			defer c.Close()
			wire.Backend(c.(*net.TCPConn))
		}()
	}
}
