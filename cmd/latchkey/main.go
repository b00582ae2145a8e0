// Latchkey is the command for the operator of a service that uses the auth engine of this
// module. It works on the store of the service: it finds and changes users, moves them in and
// out, checks the store, and brings it up to date.
//
//	latchkey [flags] COMMAND [flags] [arguments]
//	latchkey help
//	latchkey help user
//
// # Store and key
//
// The store is named by -store, by the file that -store-file names, or by LATCHKEY_STORE:
//
//	bbolt:FILE
//	sqlite:FILE
//	postgres://USER@HOST/DATABASE
//
// An address with a password comes from -store-file or LATCHKEY_STORE. The command refuses it
// as an argument, because other users of the machine can read arguments. The flags -namespace,
// -prefix and -pooler are the options of package store/postgres, and -prefix that of store/sqlite
// too. The file of bbolt is open in one process at a time, so stop the service first. The other
// stores may be in use meanwhile.
//
// The key of the service comes from the file that -key-file or LATCHKEY_KEY_FILE names, or from
// LATCHKEY_KEY. LATCHKEY_OLD_KEYS_FILE names a file with the old keys, one a line.
//
// The command never makes a store, except for import, user add, copy and migrate -apply. It
// never upgrades the tables of a store, except for migrate -apply. It never makes its key a key
// of the store, except for import, user add and reseal.
//
// The command does not know the policy of the service. It uses the default policy, and sends no
// messages and no events. Where that matters, the command has a flag.
//
// # Keys
//
//	latchkey key make /etc/app/latchkey.key
//	latchkey key make
//	latchkey -store sqlite:app.db -key-file latchkey.key key check
//
// key make writes a new key to a file that does not exist, with mode 0600, or to standard
// output. key check tells whether the store opens with the key. It shows the ids of keys and
// never a key.
//
// # Users
//
//	export LATCHKEY_STORE=sqlite:app.db LATCHKEY_KEY_FILE=latchkey.key
//	latchkey user find ada
//	latchkey user find -limit 100 '"ada lovelace"'
//	latchkey user show ada@example.org
//	latchkey user add -email ada@example.org -name Ada -password-file password.txt
//	latchkey user add -id ada -phone +12125550123 -password-file - # asks on a terminal, without echo
//	latchkey user block ada@example.org
//	latchkey user unblock ada@example.org
//	latchkey user sessions ada@example.org
//	latchkey user sign-out ada@example.org
//	latchkey user sign-out ada@example.org 0190b6a0-0000-7000-8000-000000000000
//	latchkey user reset-factors ada@example.org
//	latchkey user export ada@example.org ada.json
//	latchkey user delete ada@example.org
//
// A user is named by the id, the e-mail address or the phone number. user find looks for the
// beginnings of words of the id, the address, the number, the name and the labels. An empty text
// finds every user.
//
// The password of user add is the first line of a file or of standard input, or
// LATCHKEY_PASSWORD. Without any, the user has none. It must meet the rules of the default
// policy, not those of the service.
//
// user block keeps the sessions of the user, which are refused until user unblock. user sign-out
// ends them. user reset-factors is for a user who has lost the second factor. It removes the
// authenticator, switches multi-factor authentication off, and replaces the recovery codes that
// are left by others that it does not show.
//
// # Moving users
//
//	latchkey export users.jsonl
//	latchkey export -secrets users.jsonl
//	latchkey import -dry-run users.jsonl
//	latchkey import -keep-tokens users.jsonl
//	latchkey import -trust-verified -trust-roles -rejects refused.txt users.jsonl
//	latchkey import -format latchkey - < users.jsonl
//	latchkey import -format firebase -firebase key.json -provider facebook.com= users.json
//	latchkey import -format auth0 -auth0-hashes hashes.ndjson users.ndjson
//	latchkey import -format keycloak -provider github=github,https://github.com realm.json
//
// Package transfer describes the formats. Without -secrets, an export has no password hashes
// and no second factors, so its users need new ones. An import refuses records by themselves:
// each goes with its line and the reason to standard error, or to the file of -rejects, and the
// others are imported. It may run again, because it leaves users alone that have come already.
// With -dry-run it changes nothing, and makes no store. A dry run refuses a membership if its
// user or its team is new and stands more than 500 records before. The tokens of providers are
// dropped without -keep-tokens.
//
// The file of -firebase is JSON with base64_signer_key, base64_salt_separator, rounds and mem_cost,
// which the console of Firebase shows. -provider names an identity provider of the file as the
// service knows it, by its name and issuer. It may be repeated. Without a name and an issuer, its
// identities stay behind. -without-password takes users whose hash is missing or not known: they
// set a password by recovery.
//
// # The outbox
//
//	latchkey outbox list
//	latchkey outbox list -given-up -limit 1000 -to crm
//	latchkey outbox requeue 0190b6a0-0000-7000-8000-000000000000
//	latchkey outbox requeue -all -to crm
//	latchkey outbox discard 0190b6a0-0000-7000-8000-000000000000.crm
//
// The outbox (Config.Outbox of the service) has the messages and events that were not delivered
// yet, and for 30 days those that were given up. outbox list does not show their content.
// outbox requeue only changes the store: the processes of the service deliver within a second or
// two, and after the next start if none runs. A message whose link or code has run out, was used
// or was replaced is not sent. With -all, it takes everything that was given up, and with -to that to one channel or receiver. outbox requeue
// and outbox discard refuse a message or an event that a process of the service is delivering.
//
// # The store
//
//	latchkey check
//	latchkey limits
//	latchkey limits ada@example.org
//	latchkey limits -free-failures 5 -disable-after 100
//	latchkey sweep
//	latchkey sweep -log-days 90
//	latchkey reseal
//	latchkey copy sqlite:new.db
//	latchkey copy -to-file address.txt -to-prefix auth_
//	latchkey migrate
//	latchkey migrate -apply
//	latchkey -store postgres://app@db/app migrate -sql > upgrade.sql
//
// check looks for damage, and tries the key if there is one. It reads the whole store, or every
// reference on PostgreSQL. limits shows the identifiers that wrong passwords and codes have
// slowed, by the policy that its flags name. sweep deletes expired rows, and log lines that
// are older than -log-days, which is ten years unless it is set. It also gives up messages and
// events that have waited in the outbox for 72 hours without a process that delivers them. reseal
// is the third step of a
// change of keys, which [example.com/latchkey.Keys] describes. copy copies everything to a new
// store, and needs no key. The service must not write meanwhile. migrate shows the steps that an
// upgrade of the tables would take. After migrate -apply, older versions of the service refuse
// the store, unless migrate says that they go on. migrate -sql prints the upgrade of a PostgreSQL
// database for an administrator, and connects to read how far the tables have come.
//
// # Files
//
// Files that the command writes have mode 0600. They get their name when they are complete. An
// existing file is overwritten only after a question, or with -yes.
//
// # Questions
//
// user delete, user sign-out, user reset-factors, outbox requeue -all, outbox discard, reseal and
// overwriting a file ask on the terminal first. With -yes they do not ask. They fail if standard input is no terminal.
//
// # JSON
//
// With -json, standard output is JSON, and so are errors on standard error:
//
//	{"error":"The user does not exist","type":"user_not_found","exit":1}
//
// user find, user sessions, outbox list and limits write one object a line, for each user,
// session, delivery or identifier. user export, and export to standard output, write the same as without -json. The
// other commands write one object. Members that are empty are left out where they say nothing.
//
//	key make        {"id","file","key"}: file, or key without a file
//	key check       {"key","oldKeys","state"}: right, or unrecorded if no engine has used the key yet
//	user find       users, and {"more":true} as the last line if there are others
//	user show, add, block, unblock
//	                a user: {"id","createdAt","updatedAt","accessedAt","name","email","emailVerified",
//	                "phone","phoneVerified","passwordUpdate","blocked","mfa","labels","impersonator",
//	                "prefs","factors"}, of which show alone has the last two
//	user delete     {"id","deleted"}
//	user sessions   {"id","createdAt","expire","provider","factors","ip","device","country"}
//	user sign-out   {"id","ended"}
//	user reset-factors
//	                {"id","authenticator","mfa","recoveryCodes"}: the parts that were removed
//	import          {"created","existed","refused","dryRun"}, and for each refused record
//	                {"line","kind","id","reason","type"} on standard error or in the file of -rejects
//	export          {"users","teams","memberships","secrets","file"}
//	outbox list     {"id","to","kind","userId","createdAt","due","expire","tries","failures","cause",
//	                "givenUpAt"}, and {"more":true} as the last line if there are others
//	outbox requeue  {"requeued"}
//	outbox discard  {"discarded"}
//	check           {"store","version","whole","key"}: key is right, unrecorded, or not given
//	limits          {"kind","subject","failures","last","until","disabled"}
//	sweep           {"sessions","tokens","failures","logs","users","deliveries"}
//	reseal          {"rows","left"}: left has a number for each key that still seals
//	copy            {"rows","to"}: rows has a number for each table
//	migrate         {"exists","version","to","steps","applied"}
//
// # Exit codes
//
//	0  done
//	1  failed
//	2  the command line is wrong, or something that it needs is missing
//	3  done, and some records were refused
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"example.com/latchkey"
)

// The exit codes.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run runs the command and returns its exit code.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once. Some programs send the first one twice.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	written := &sure{Writer: out}
	t := &tool{in: in, out: written, errs: errs}
	err := t.dispatch(ctx, args)
	if written.err != nil {
		err = errors.Join(err, fmt.Errorf("the result is not written: %w", written.err))
	}
	return t.report(err)
}

// tool is one run of the command: its streams and its global flags.
type tool struct {
	in        io.Reader
	out, errs io.Writer

	store, storeFile  string
	namespace, prefix string
	pooler            bool
	keyFile           string
	json, yes         bool

	known latchkey.Keys // once they are read
	reads []string      // the files that the command reads
}

// globals adds the global flags. They may stand before the name of the command and after it.
func (t *tool) globals(fs *flag.FlagSet) {
	fs.StringVar(&t.store, "store", t.store, "the `STORE`: bbolt:FILE, sqlite:FILE or postgres://USER@HOST/DATABASE")
	fs.StringVar(&t.storeFile, "store-file", t.storeFile, "a `FILE` that holds the name of the store, for an address with a password")
	fs.StringVar(&t.namespace, "namespace", t.namespace, "the `NAME` of the PostgreSQL schema, latchkey without it")
	fs.StringVar(&t.prefix, "prefix", t.prefix, "the `PREFIX` of the names of the tables in PostgreSQL and SQLite")
	fs.BoolVar(&t.pooler, "pooler", t.pooler, "a transaction pooler is between the command and PostgreSQL")
	fs.StringVar(&t.keyFile, "key-file", t.keyFile, "the `FILE` of the key")
	fs.BoolVar(&t.json, "json", t.json, "write JSON")
	fs.BoolVar(&t.yes, "yes", t.yes, "do not ask")
}

// action runs a command with its arguments.
type action func(ctx context.Context, t *tool, args []string) error

// command is one of the commands.
type command struct {
	name  string // one word or two
	args  string // for the help
	least int    // number of arguments
	most  int
	about string
	setup func(fs *flag.FlagSet) action
}

// commands are all commands, in the order of the help.
var commands = []command{
	{"key make", "[FILE]", 0, 1, "Write a new key to a new file, or to standard output.", keyMake},
	{"key check", "", 0, 0, "Tell whether the key is right for the store. Only ids of keys are shown.", keyCheck},
	{"user find", "TEXT", 1, 1, "Search users by id, e-mail address, phone number, or words of the name and the labels.", userFind},
	{"user show", "USER", 1, 1, "Show a user.", userShow},
	{"user add", "", 0, 0, "Add a user. The password comes from a file, from standard input or from LATCHKEY_PASSWORD.", userAdd},
	{"user block", "USER", 1, 1, "Block a user. The sessions are refused until the user is unblocked.", userBlock},
	{"user unblock", "USER", 1, 1, "Unblock a user.", userUnblock},
	{"user delete", "USER", 1, 1, "Delete a user with everything of theirs.", userDelete},
	{"user sessions", "USER", 1, 1, "List the sessions of a user.", userSessions},
	{"user sign-out", "USER [SESSION]", 1, 2, "End one session of a user, or all of them.", userSignOut},
	{"user reset-factors", "USER", 1, 1, "Remove the second factors of a user who has lost them.", userResetFactors},
	{"user export", "USER [FILE|-]", 1, 2, "Write everything that the store holds about a user, as JSON.", userExport},
	{"import", "FILE|-", 1, 1, "Import users, teams and memberships.", importFile},
	{"export", "FILE|-", 1, 1, "Export all users, teams and memberships.", exportFile},
	{"outbox list", "", 0, 0, "List the messages and events that wait in the outbox or were given up.", outboxList},
	{"outbox requeue", "ID...", 0, 1000, "Have the service deliver messages and events of the outbox after all.", outboxRequeue},
	{"outbox discard", "ID...", 1, 1000, "Delete messages and events of the outbox.", outboxDiscard},
	{"check", "", 0, 0, "Look for damage in the store, and try the key.", check},
	{"limits", "[USER]", 0, 1, "Show what wrong passwords and codes have slowed.", limits},
	{"sweep", "", 0, 0, "Delete what has expired.", sweep},
	{"reseal", "", 0, 0, "Seal everything with the key that is sealed with an old one.", reseal},
	{"copy", "[TO]", 0, 1, "Copy everything to another store, which is new or empty.", copyStore},
	{"migrate", "", 0, 0, "Show what an upgrade of the tables would do, or apply it.", migrate},
}

// dispatch reads the command line and runs the command.
func (t *tool) dispatch(ctx context.Context, args []string) error {
	fs := newFlags("latchkey")
	t.globals(fs)
	if err := fs.Parse(args); err != nil {
		return t.badFlags(err, "", args)
	}
	args = fs.Args()
	if len(args) == 0 {
		return usagef("no command. Run latchkey help to see them")
	}
	if args[0] == "help" {
		return t.help(strings.Join(args[1:], " "))
	}
	c, rest := find(args)
	if c == nil {
		return noCommand(args[0])
	}
	fs = newFlags(c.name)
	t.globals(fs)
	act := c.setup(fs)
	given, err := parse(fs, rest)
	if err != nil {
		return t.badFlags(err, c.name, rest)
	}
	if len(given) < c.least || len(given) > c.most {
		return usagef("latchkey %s takes other arguments: %s", c.name, strings.TrimSpace(c.name+" "+c.args))
	}
	return act(ctx, t, given)
}

// newFlags returns flags that print nothing by themselves.
func newFlags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// badFlags shows the help of a command if it was asked for. Otherwise the flags are wrong. The
// text of err may hold a value, which may be a secret, so it is not shown. -json may stand
// behind the wrong flag.
func (t *tool) badFlags(err error, command string, args []string) error {
	t.json = t.json || slices.Contains(args, "-json") || slices.Contains(args, "--json")
	if errors.Is(err, flag.ErrHelp) {
		return t.help(command)
	}
	name, found := strings.CutPrefix(err.Error(), "flag provided but not defined: ")
	if found && !strings.Contains(name, "=") {
		return usagef("there is no flag %s. Run latchkey %s to see the flags", name, strings.TrimSpace("help "+command))
	}
	return usagef("a flag has a wrong value, or none. Run latchkey %s to see the flags", strings.TrimSpace("help "+command))
}

// find returns the command that the first words name, and the words after them.
func find(args []string) (*command, []string) {
	for i, c := range commands {
		n := len(strings.Fields(c.name))
		if len(args) >= n && strings.Join(args[:n], " ") == c.name {
			return &commands[i], args[n:]
		}
	}
	return nil, nil
}

// noCommand says that a word begins no command, or only a longer one.
func noCommand(word string) error {
	for _, c := range commands {
		if group, _, _ := strings.Cut(c.name, " "); group == word {
			return usagef("latchkey %s needs another word. Run latchkey help %s to see the commands", word, word)
		}
	}
	return usagef("there is no such command. Run latchkey help to see the commands")
}

// parse reads flags and arguments in any order. After -- everything is an argument.
func parse(fs *flag.FlagSet, args []string) (given []string, err error) {
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		rest := fs.Args()
		if end := len(args) - len(rest) - 1; end >= 0 && args[end] == "--" {
			return append(given, rest...), nil
		}
		if len(rest) == 0 {
			break
		}
		given, args = append(given, rest[0]), rest[1:]
	}
	return given, nil
}

// help writes the help for everything, or for the commands that begin with some words.
func (t *tool) help(topic string) error {
	if topic == "" {
		fmt.Fprint(t.out, "latchkey works on the store of a service.\n\n  latchkey [flags] COMMAND [flags] [arguments]\n\nCommands:\n")
		for _, c := range commands {
			fmt.Fprintf(t.out, "  %-32s %s\n", strings.TrimSpace(c.name+" "+c.args), c.about)
		}
		fmt.Fprint(t.out, "\nUSER is an id, an e-mail address or a phone number.\nlatchkey help COMMAND shows the flags of a command.\n\nFlags of every command:\n")
		printFlags(t.out, t.globals)
		fmt.Fprint(t.out, helpEnvironment)
		return nil
	}
	found := false
	for _, c := range commands {
		if c.name != topic && !strings.HasPrefix(c.name, topic+" ") {
			continue
		}
		found = true
		fmt.Fprintf(t.out, "latchkey %s\n  %s\n", strings.TrimSpace(c.name+" "+c.args), c.about)
		printFlags(t.out, func(fs *flag.FlagSet) { c.setup(fs) })
		fmt.Fprintln(t.out)
	}
	if !found {
		return usagef("there is no help for that. Run latchkey help to see the commands")
	}
	fmt.Fprintln(t.out, "latchkey help shows the flags of every command.")
	return nil
}

// helpEnvironment ends the help.
const helpEnvironment = `
Environment:
  LATCHKEY_STORE          the store, if no flag names it. An address with a password belongs here
  LATCHKEY_KEY_FILE       the file of the key, if no flag names it
  LATCHKEY_KEY            the key, if there is no file
  LATCHKEY_OLD_KEYS_FILE  a file with the old keys, one a line
  LATCHKEY_PASSWORD       the password for user add

Exit codes:
  0  done
  1  failed
  2  the command line is wrong, or something that it needs is missing
  3  done, and some records were refused
`

// printFlags writes the flags that add declares.
func printFlags(w io.Writer, add func(*flag.FlagSet)) {
	fs := newFlags("")
	add(fs)
	fs.VisitAll(func(f *flag.Flag) {
		value, about := flag.UnquoteUsage(f)
		fmt.Fprintf(w, "  %-22s %s\n", strings.TrimSpace("-"+f.Name+" "+value), about)
	})
}
