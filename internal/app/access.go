package app

import (
	"context"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
)

// Bounds of the access log.
const (
	refusalLines  = 20               // of one reason …
	refusalWindow = 10 * time.Second // … in so long; the others are counted
	maxRequested  = 128              // bytes of a path that belongs to no gate
)

// access is the access log: who came, from where, by which credential, and why
// they left or were turned away. It never sees payload.
type access struct {
	log *slog.Logger

	mu         sync.Mutex // guards what follows
	windows    map[string]*window
	suppressed uint64
}

// window counts the lines of one reason. There are no more reasons than rows in
// the table of package deny, and statuses of the listener.
type window struct {
	began   time.Time
	lines   int
	skipped uint64
}

func newAccess(log *slog.Logger) *access { return &access{log: log, windows: map[string]*window{}} }

// allow reports whether a refusal with this code may be a line of its own, and
// how many were left out since the last one.
func (a *access) allow(code string, now time.Time) (skipped uint64, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.windows[code]
	if w == nil {
		w = &window{began: now}
		a.windows[code] = w
	}
	if now.Sub(w.began) >= refusalWindow {
		w.began, w.lines = now, 0
	}
	if w.lines++; w.lines > refusalLines {
		w.skipped++
		a.suppressed++
		return 0, false
	}
	skipped, w.skipped = w.skipped, 0
	return skipped, true
}

// flush writes a line for every reason of which lines were left out in a window
// that is over.
func (a *access) flush(now time.Time, all bool) {
	a.mu.Lock()
	left := map[string]uint64{}
	for code, w := range a.windows {
		if w.skipped > 0 && (all || now.Sub(w.began) >= refusalWindow) {
			left[code], w.skipped = w.skipped, 0
		}
	}
	a.mu.Unlock()
	for code, n := range left {
		a.tellSkipped(code, n)
	}
}

func (a *access) tellSkipped(code string, n uint64) {
	a.log.Warn("refusals left out of the log", "code", code, "count", n)
}

// Suppressed is how many lines were left out since the start.
func (a *access) Suppressed() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.suppressed
}

// observe writes the line of an event.
func (a *access) observe(e sallyport.Event) {
	level, msg := slog.LevelInfo, ""
	switch e.Kind {
	case sallyport.Refused:
		skipped, ok := a.allow(e.Reason.Code(), time.Now())
		if skipped > 0 {
			a.tellSkipped(e.Reason.Code(), skipped)
		}
		if !ok {
			return
		}
		level, msg = refusalLevel(e.Reason), "refused"
	case sallyport.Admitted:
		msg = "admitted"
	case sallyport.Ended:
		msg = "ended"
	case sallyport.Issued:
		msg = "issued"
	case sallyport.Renewed:
		msg = "renewed"
	}
	if ctx := context.Background(); a.log.Enabled(ctx, level) {
		a.log.LogAttrs(ctx, level, msg, attributes(e)...)
	}
}

// refusalLevel is higher when the fault is on this side.
func refusalLevel(r deny.Reason) slog.Level {
	switch {
	case r == deny.Internal:
		return slog.LevelError
	case r == deny.AuthUnavailable, r == deny.GuardFull, strings.HasPrefix(r.Code(), "backend."):
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

func attributes(e sallyport.Event) []slog.Attr {
	list := make([]slog.Attr, 0, 20)
	text := func(key, value string) {
		if value != "" {
			list = append(list, slog.String(key, value))
		}
	}
	number := func(key string, n int64) { list = append(list, slog.Int64(key, n)) }
	text("conn", e.Conn)
	text("code", e.Reason.Code())
	text("user", e.Identity.Subject)
	text("issuer", e.Identity.Issuer)
	text("credential", e.Identity.Credential)
	text("method", e.Identity.Method)
	if e.Address.IsValid() {
		text("remote", e.Address.String())
	}
	text("gate", e.Gate)
	if e.Gate == "" {
		text("path", requested(e.Path))
	}
	text("origin", e.Origin)
	if e.Sealed {
		list = append(list, slog.Bool("sealed", true))
	}
	switch e.Kind {
	case sallyport.Refused:
		number("status", int64(e.Status))
	case sallyport.Ended:
		text("by", e.By)
		list = append(list, slog.Duration("lasted", e.Lasted.Round(time.Millisecond)))
		number("received", e.Received)
		number("sent", e.Sent)
		number("messages", e.Messages)
		number("replies", e.Replies)
	}
	if e.Cause != nil {
		list = append(list, slog.Any("err", e.Cause))
	}
	return list
}

// requested is a path as a line may show it.
func requested(path string) string {
	if plain, err := url.PathUnescape(path); err == nil && plain == path && len(path) <= maxRequested {
		return path
	}
	return path[:min(len(path), maxRequested)]
}

// refused writes the line of a connection that was refused before a request was
// read. why is constant text.
func (a *access) refused(remote netip.Addr, status int, why string) {
	skipped, ok := a.allow(why, time.Now())
	if skipped > 0 {
		a.tellSkipped(why, skipped)
	}
	if !ok {
		return
	}
	address := "unix"
	if remote.IsValid() {
		address = remote.String()
	}
	list := []slog.Attr{slog.String("remote", address), slog.Int("status", status), slog.String("err", why)}
	if reason, ok := statuses[status]; ok {
		list = append([]slog.Attr{slog.String("code", reason.Code())}, list...)
	}
	a.log.LogAttrs(context.Background(), slog.LevelInfo, "refused", list...)
}
