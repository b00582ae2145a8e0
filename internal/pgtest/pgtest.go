// Package pgtest starts temporary PostgreSQL servers for tests. It needs initdb and
// postgres on PATH.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// errAbsent means that the programs of PostgreSQL are not on PATH.
var errAbsent = errors.New("needs initdb and postgres on PATH")

// Server is a running PostgreSQL server on the loopback interface. Its text columns
// sort by the rules of English, unless a column says otherwise.
type Server struct {
	port int
	dir  string
	as   *syscall.SysProcAttr
	args []string
	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended
	out  *os.File
}

// shared is the server of a test binary.
var shared struct {
	once   sync.Once
	server *Server
	err    error
	names  atomic.Int64
}

// Main runs the tests of a package and stops the server that [Shared] started.
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
func Main(m *testing.M) int {
	defer func() {
		if shared.server != nil {
			shared.server.Stop()
		}
	}()
	return m.Run()
}

// Shared returns the server of the test binary, and starts it at the first call. The
// server does not sync its files, because nothing outlives the tests. If PostgreSQL is
// not on PATH, Shared skips the test.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.once.Do(func() { shared.server, shared.err = Start("fsync=off") })
	if errors.Is(shared.err, errAbsent) {
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// Namespace returns a name that no other test of this binary uses.
func Namespace() string { return "t" + strconv.FormatInt(shared.names.Add(1), 10) }

// Start creates a cluster and starts a server on it. The settings have the form
// name=value.
func Start(settings ...string) (*Server, error) {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(name); err != nil {
			return nil, errAbsent
		}
	}
	dir, err := os.MkdirTemp("", "latchkey-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	for _, setting := range append([]string{
		"listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200", "max_pred_locks_per_transaction=256",
	}, settings...) {
		s.args = append(s.args, "-c", setting)
	}
	if err := s.start(); err != nil {
		s.Stop()
		return nil, fmt.Errorf("starting PostgreSQL: %w", err)
	}
	return s, nil
}

func (s *Server) start() (err error) {
	if s.as, err = Unprivileged(s.dir); err != nil {
		return err
	}
	initdb := exec.Command("initdb", "--pgdata", s.data(), "--username=latchkey", "--auth=trust", "--no-sync",
		"--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en")
	initdb.SysProcAttr, initdb.Dir = s.as, s.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	if s.port, err = FreePort(); err != nil {
		return err
	}
	return s.Run()
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Run starts the server on its cluster, at first or again after a stop, and waits until
// it answers. The last processes of a server that was killed may hold its shared memory for
// a moment, and then the next one ends at once: Run starts it again.
func (s *Server) Run() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		err := s.runOnce(ctx)
		if err == nil || !strings.Contains(err.Error(), "pre-existing shared memory block") {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *Server) runOnce(ctx context.Context) error {
	var before int64 // bytes of the log of earlier runs
	if info, err := os.Stat(filepath.Join(s.dir, "log")); err == nil {
		before = info.Size()
	}
	var err error
	if s.out, err = os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	s.cmd = exec.Command("postgres", append([]string{"-D", s.data(), "-p", strconv.Itoa(s.port)}, s.args...)...)
	s.cmd.SysProcAttr, s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir = s.as, s.out, s.out, s.dir
	if s.gone, err = StartTied(s.cmd); err != nil {
		return err
	}
	for {
		conn, err := pgx.Connect(ctx, s.Address())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.gone:
			_ = s.out.Close()
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("it ended: %s", log[min(before, int64(len(log))):])
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// StartTied starts a process that is killed when this process ends for any reason. For
// the system, the parent is the thread that started the process. So that thread stays
// locked until the process has ended.
func StartTied(cmd *exec.Cmd) (gone chan struct{}, err error) {
	gone = make(chan struct{})
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(gone)
		}
	}()
	return gone, <-started
}

// Unprivileged returns the attributes for starting a process that ends with this one.
// If this process runs as root, the attributes start it as the user nobody, and the
// directory is given to that user.
func Unprivileged(dir string) (*syscall.SysProcAttr, error) {
	attr := tied()
	if os.Geteuid() != 0 {
		return attr, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, os.Chown(dir, uid, gid)
}

// FreePort returns a free port of the loopback interface.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Address returns the address of the server's database.
func (s *Server) Address() string {
	return fmt.Sprintf("postgres://latchkey@127.0.0.1:%d/postgres?sslmode=disable", s.port)
}

// Host returns the host and port at which the server listens.
func (s *Server) Host() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Analyze brings the statistics of the tables up to date.
func (s *Server) Analyze() error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.Address())
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "ANALYZE")
	return errors.Join(err, conn.Close(ctx))
}

// Kill ends the server and all of its processes with SIGKILL.
func (s *Server) Kill() {
	_ = s.cmd.Process.Signal(syscall.SIGSTOP) // a stopped server starts no more of them
	children := s.children()
	s.end(syscall.SIGKILL)
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// children returns the processes that the server has started, as /proc lists
// them.
func (s *Server) children() (pids []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.cmd.Process.Pid))
	for _, task := range tasks {
		list, _ := os.ReadFile(task)
		for _, field := range bytes.Fields(list) {
			if pid, err := strconv.Atoi(string(field)); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// end sends the server a signal and waits until it has ended.
func (s *Server) end(signal syscall.Signal) {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Signal(signal)
	<-s.gone
	_ = s.out.Close()
}

// Stop ends the server and removes its files.
func (s *Server) Stop() {
	s.end(syscall.SIGQUIT) // an immediate end: the files are removed
	_ = os.RemoveAll(s.dir)
}
