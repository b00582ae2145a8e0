package browser

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// screenshots is the folder in which TestPages leaves the pictures of the pages.
var screenshots = flag.String("screenshots", "", "folder for the pictures of the pages (default one that is removed)")

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if err := stopChromium(); err != nil {
		fmt.Fprintln(os.Stderr, "Chromium does not end:", err)
		code = 1
	}
	os.Exit(code)
}

// chromium starts the browser of all tests, at the first call.
var chromium = sync.OnceValues(startChromium)

// stopChromium ends the browser if it runs.
var stopChromium = func() error { return nil }

// startChromium starts a browser with an empty profile. It is driven by a pipe, so it listens at no port. It
// finds no host but this machine.
func startChromium() (context.Context, error) {
	program, err := exec.LookPath("chromium")
	if err != nil {
		return nil, errors.New("these tests need the program chromium on the PATH (apt-get install chromium)")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.DisableGPU, chromedp.WindowSize(wide, high),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("lang", "en-US"), chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"),
	)
	allocated, _ := chromedp.NewExecAllocator(context.Background(), options...) // Cancel waits for the process
	ctx, _ := chromedp.NewContext(allocated)
	began := make(chan error, 1)
	go func() { began <- chromedp.Do(ctx) }() // with a context that has no end, because the browser ends with it
	select {
	case err = <-began:
	case <-time.After(time.Minute):
		err = errors.New("it does not answer")
	}
	if err != nil {
		return nil, fmt.Errorf("chromium does not start: %w", err)
	}
	stopChromium = func() error {
		end, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		return chromedp.Cancel(end)
	}
	return ctx, nil
}
