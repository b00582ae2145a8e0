package pgtest

import "syscall"

// tied returns attributes that end a process together with the thread that started it.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT} }
