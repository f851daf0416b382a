package config

import (
	"testing"
	"time"
)

func TestValues(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"4096", "4KiB"}, {"64KiB", "64KiB"}, {"1024KiB", "1MiB"}, {"1GiB", "1GiB"}, {"100B", "100"}, {"0", "0"}, {"1500", "1500"},
	} {
		if got, err := ParseSize(c.in); err != nil || got.String() != c.want {
			t.Errorf("size %s: got %s, %v, want %s", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"", "KiB", "-1", "1.5KiB", "1KB", "1 KiB", "01", "9223372036854775807KiB", "99999999999999999999", "+1", "1kib"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("size %q: got %d, want an error", in, got)
		}
	}
	for _, in := range []string{"", "50", "50/", "/s", "50/h", "1.5/s", "-1/s", "50/s/s"} {
		if got, err := ParseRate(in); err == nil {
			t.Errorf("rate %q: got %v, want an error", in, got)
		}
		if got, err := ParseByteRate(in); err == nil {
			t.Errorf("rate of bytes %q: got %v, want an error", in, got)
		}
	}
	for d, want := range map[time.Duration]string{time.Minute: "1m", time.Hour: "1h", 90 * time.Second: "1m30s", 24 * time.Hour: "24h", 0: "0s", 10 * time.Minute: "10m", 10 * time.Hour: "10h", time.Hour + time.Second: "1h0m1s"} {
		if got := formatDuration(d); got != want {
			t.Errorf("duration: got %s, want %s", got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"idle", "ping", "pong_wait", "max_message", "messages"}
	for got, want := range map[string]string{"iddle": "idle", "idel": "idle", "PING": "ping", "pong-wait": "pong_wait", "max_mesage": "max_message", "xyz": "", "": ""} {
		if near := nearest(got, names); near != want {
			t.Errorf("%q: got %q, want %q", got, near, want)
		}
	}
}
