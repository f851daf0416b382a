package main

import (
	"errors"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	for _, tt := range []struct{ name, said, want string }{
		{"nginx", "nginx version: nginx/1.22.1\nbuilt with OpenSSL 3.0.22 25 Aug 2026 (running with OpenSSL 3.0.19 27 Jan 2026)\n", "1.22.1 with OpenSSL 3.0.19"},
		{"nginx with the library it was built with", "nginx version: nginx/1.26.0\nbuilt with OpenSSL 3.5.0 8 Apr 2025\n", "1.26.0 with OpenSSL 3.5.0"},
		{"HAProxy", "HAProxy version 2.6.12-1+deb12u4 2026/10/17\nBuilt with OpenSSL version : OpenSSL 3.0.22\nRunning on OpenSSL version : OpenSSL 3.0.19\n", "2.6.12 with OpenSSL 3.0.19"},
		{"without TLS", "HAProxy version 2.6.12\n", "2.6.12"},
	} {
		var got string
		if err := version(&got, []byte(tt.said)); err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	var got string
	if err := version(&got, []byte("command not found")); err == nil {
		t.Errorf("of no version: got %q", got)
	}
}

func TestSelectRows(t *testing.T) {
	got, err := selectRows("idle, echo")
	if err != nil || len(got) != 2 || got[0] != idleRow || got[1] != echoRow {
		t.Errorf("got %v, %v", got, err)
	}
	if all, err := selectRows("all"); err != nil || len(all) != len(rows) {
		t.Errorf("all: got %d, %v", len(all), err)
	}
	if _, err := selectRows("idle,typo"); err == nil || !strings.Contains(err.Error(), "typo") {
		t.Errorf("a row that is none: %v", err)
	}
}

func TestEveryServerOfARowCanBeStarted(t *testing.T) {
	for _, r := range rows {
		for _, name := range r.servers {
			if kinds[name] == nil && name != "verify" {
				t.Errorf("%s: nobody knows how to start %q", r.name, name)
			}
		}
	}
}

func TestReasonsNameNoFolderOfOurs(t *testing.T) {
	l := &lab{scratch: "/scratch/x"}
	got := l.oneLine(errors.New("/scratch/x/door.yaml:17:\n  unknown key " + strings.Repeat("ä", 200)))
	if strings.Contains(got, "/scratch") || strings.Contains(got, "\n") || len(got) > 210 {
		t.Errorf("got %q", got)
	}
}
