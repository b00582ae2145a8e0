package pgtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Pooler starts pgbouncer in transaction mode in front of a server, for one test, and
// returns its address. If pgbouncer is not installed, Pooler skips the test.
func Pooler(t testing.TB, s *Server) (address string) {
	t.Helper()
	return PoolerAt(t, s.Host())
}

// PoolerAt is Pooler in front of the server at a host and port, such as those of a [Proxy].
func PoolerAt(t testing.TB, server string) (address string) {
	t.Helper()
	serverHost, serverPort, err := net.SplitHostPort(server)
	if err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		path = "/usr/sbin/pgbouncer" // a folder that is not on the PATH of every user
		if _, err := os.Stat(path); err != nil {
			t.Skip("needs pgbouncer")
		}
	}
	dir, err := os.MkdirTemp("", "latchkey-pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as, err := Unprivileged(dir)
	if err != nil {
		t.Fatal(err)
	}
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`[databases]
postgres = host=%s port=%s user=latchkey
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 20
server_login_retry = 0.05
logfile = %s
`, serverHost, serverPort, port, filepath.Join(dir, "log"))
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-q", file)
	cmd.SysProcAttr, cmd.Dir = as, dir
	gone, err := StartTied(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-gone
	})
	address = fmt.Sprintf("postgres://latchkey@127.0.0.1:%d/postgres?sslmode=disable", port)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, address)
		if err == nil {
			_ = conn.Close(ctx)
			return address
		}
		select {
		case <-gone:
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("pgbouncer ended: %s", log)
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
