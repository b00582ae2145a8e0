// Package redistest starts temporary Redis servers for tests, on the loopback
// interface: a single one, a master with a replica and a Sentinel, and a Cluster. It
// needs redis-server on PATH. The servers keep nothing on a disk.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/latchkey/internal/pgtest"
)

// patience is how long a server may take to start, and several to find each other.
const patience = time.Minute

// Server is a Redis server.
type Server struct {
	dir  string
	port int
	as   *syscall.SysProcAttr
	args []string
	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended
}

// errAbsent means that redis-server is not on PATH.
var errAbsent = errors.New("needs redis-server on PATH")

// ForTest starts a server for a test, with further arguments of redis-server. If it is not
// on PATH, ForTest skips the test.
func ForTest(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := Start(args...)
	if errors.Is(err, errAbsent) {
		t.Skip(err)
	}
	must(t, err)
	t.Cleanup(s.Stop)
	return s
}

// Start starts a server, with further arguments of redis-server.
func Start(args ...string) (*Server, error) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return nil, errAbsent
	}
	s, err := newServer()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(s.dir, "redis.conf")
	s.args = append([]string{file}, args...)
	if err = s.configure(file, slices.Contains(args, "--sentinel")); err == nil {
		err = s.Run()
	}
	if err != nil {
		s.Stop()
		return nil, fmt.Errorf("starting Redis: %w", err)
	}
	return s, nil
}

// configure writes the settings to a file, because a Sentinel keeps its state in it. The
// server may run as another user.
func (s *Server) configure(file string, sentinel bool) error {
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nlogfile %s\n", s.port, s.dir, s.log())
	if !sentinel {
		text += "save \"\"\nappendonly no\n"
	}
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		return err
	}
	return os.Chmod(file, 0o666)
}

// newServer returns a server with a folder and a port, which does not run yet.
func newServer() (s *Server, err error) {
	s = new(Server)
	if s.dir, err = os.MkdirTemp("", "latchkey-redis-"); err != nil {
		return nil, err
	}
	if s.port, err = pgtest.FreePort(); err == nil {
		s.as, err = pgtest.Unprivileged(s.dir)
	}
	if err != nil {
		_ = os.RemoveAll(s.dir)
	}
	return s, err
}

func (s *Server) log() string { return filepath.Join(s.dir, "log") }

// Run starts the server, at first or again after [Server.Kill], and waits until it
// answers.
func (s *Server) Run() (err error) {
	s.cmd = exec.Command("redis-server", s.args...)
	s.cmd.SysProcAttr, s.cmd.Dir = s.as, s.dir
	if s.gone, err = pgtest.StartTied(s.cmd); err != nil {
		s.cmd = nil
		return err
	}
	client := s.Client()
	defer client.Close()
	return s.eventually(func(ctx context.Context) error { return client.Ping(ctx).Err() })
}

// eventually waits until check returns no error, or the server has ended.
func (s *Server) eventually(check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.gone:
			log, _ := os.ReadFile(s.log())
			return fmt.Errorf("it ended: %s", log)
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Address returns the host and port at which the server listens.
func (s *Server) Address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Client returns a client of the server, which the caller closes.
func (s *Server) Client() *redis.Client { return redis.NewClient(&redis.Options{Addr: s.Address()}) }

// Pause stops the process, so that the server takes connections and answers nothing.
// Resume lets it go on.
func (s *Server) Pause() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume ends a pause.
func (s *Server) Resume() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Kill ends the server with SIGKILL.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.gone
}

// Stop ends the server and removes its files.
func (s *Server) Stop() {
	s.Kill()
	_ = os.RemoveAll(s.dir)
}

// MasterName is the name by which Sentinel knows the master of [StartSentinel].
const MasterName = "counts"

// Sentinel is a master with a replica, which a Sentinel makes the master when the first
// one is away.
type Sentinel struct{ Master, Replica, Sentinel *Server }

// StartSentinel starts a master, a replica and a Sentinel for a test. A master that does
// not answer for a fifth of a second counts as away.
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	master := ForTest(t)
	replica := ForTest(t, "--replicaof", "127.0.0.1", strconv.Itoa(master.port))
	client := replica.Client()
	defer client.Close()
	must(t, replica.eventually(func(ctx context.Context) error { return says(ctx, client, "replication", "master_link_status:up") }))
	sentinel := ForTest(t, "--sentinel")
	watcher := redis.NewSentinelClient(&redis.Options{Addr: sentinel.Address()})
	defer watcher.Close()
	ctx := context.Background()
	must(t, watcher.Monitor(ctx, MasterName, "127.0.0.1", strconv.Itoa(master.port), "1").Err())
	must(t, watcher.Set(ctx, MasterName, "down-after-milliseconds", "200").Err())
	must(t, watcher.Set(ctx, MasterName, "failover-timeout", "2000").Err())
	must(t, sentinel.eventually(func(ctx context.Context) error {
		replicas, err := watcher.Replicas(ctx, MasterName).Result()
		if err == nil && (len(replicas) != 1 || replicas[0]["master-link-status"] != "ok") {
			err = errors.New("the Sentinel has not found the replica")
		}
		return err
	}))
	return &Sentinel{master, replica, sentinel}
}

// slots is the number of slots of a Cluster.
const slots = 16384

// StartCluster starts a Cluster of three masters for a test, and returns its servers.
func StartCluster(t testing.TB) (nodes []*Server) {
	t.Helper()
	const masters = 3
	ctx := context.Background()
	var clients []*redis.Client
	var firstBus int // the port by which the first server talks to the others
	for n := range masters {
		bus, err := pgtest.FreePort()
		must(t, err)
		node := ForTest(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus))
		client := node.Client()
		defer client.Close()
		must(t, client.ClusterAddSlotsRange(ctx, n*slots/masters, (n+1)*slots/masters-1).Err())
		must(t, client.Do(ctx, "cluster", "set-config-epoch", n+1).Err())
		if n == 0 {
			firstBus = bus
		} else {
			must(t, client.Do(ctx, "cluster", "meet", "127.0.0.1", nodes[0].port, firstBus).Err())
		}
		nodes, clients = append(nodes, node), append(clients, client)
	}
	for n, client := range clients {
		must(t, nodes[n].eventually(func(ctx context.Context) error {
			info, err := client.ClusterInfo(ctx).Result()
			if err == nil && (!strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprint("cluster_known_nodes:", masters))) {
				err = errors.New("the servers have not found each other")
			}
			return err
		}))
	}
	return nodes
}

// says reports an error unless a section of a server's state has a line.
func says(ctx context.Context, client *redis.Client, section, line string) error {
	info, err := client.Info(ctx, section).Result()
	if err == nil && !strings.Contains(info, line) {
		err = fmt.Errorf("the server does not say %s", line)
	}
	return err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
