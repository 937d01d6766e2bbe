// A script that tries one thing a script may do, chosen by the environment variable
// CASE, and fails the iteration with a message when it does not go as wit/script
// promises. ../README.md lists the cases, and what the server has to answer.
package main

import (
	"errors"
	"fmt"
	"os"

	_ "squall/exports"
	"squall/exports/lifecycle"
	"squall/exports/user"
	"squall/imports/http"
	"squall/imports/log"
	"squall/types"
)

func init() {
	lifecycle.Setup = func() types.Result[string, string] { return types.Of(setup()) }
	lifecycle.OnStart = func(data string) types.Result[types.Unit, string] { return types.OfError(onStart(data)) }
	lifecycle.OnStop = onStop
	lifecycle.Teardown = teardown
	user.Iterate = func() types.Result[types.Unit, string] { return types.OfError(iterate()) }
}

func main() {}

var cases = map[string]func(){
	"methods":   methods,
	"bodies":    bodies,
	"headers":   headers,
	"redirects": redirects,
	"timeout":   timeout,
	"refused":   refused,
	"batch":     batch,

	"json": jsonPointers,
	"soak": soak,

	"sleep":        sleep,
	"transactions": transactions,

	"checks":    checks,
	"metrics":   customMetrics,
	"stop-vu":   stopVU,
	"abort-run": abortRun,
	"random":    randomNumbers,
	"log":       logLevels,
	"globals":   globals,

	"environment": environment,
	"print":       printLines,

	"lifecycle": iterateAfterStart,
	"setup-err": iterateAfterStart,
	"start-err": iterateAfterStart,
}

func iterate() error {
	name, err := variable("CASE")
	if err != nil {
		return err
	}
	switch name {
	case "throw":
		throw()
		return nil
	case "err":
		return errors.New("the script says no")
	}
	try, found := cases[name]
	if !found {
		return fmt.Errorf("no such case: %s", name)
	}
	return outcome(try)
}

// A failure is what the functions below panic with, to end the case.
type failure string

// outcome runs a case, or a part of one: nil if it went well.
func outcome(try func()) (err error) {
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case failure:
			err = errors.New(string(cause))
		default:
			panic(cause)
		}
	}()
	try()
	return nil
}

// variable is an environment variable that the case needs.
func variable(name string) (string, error) {
	value, found := os.LookupEnv(name)
	if !found {
		return "", fmt.Errorf("`%s`: environment variable not found", name)
	}
	return value, nil
}

func needed(name string) string {
	value, err := variable(name)
	if err != nil {
		panic(failure(err.Error()))
	}
	return value
}

// holds ends the case unless something is so.
func holds(what string, isSo bool) {
	if !isSo {
		panic(failure("not so: " + what))
	}
}

// same ends the case unless two values are the same.
func same[T comparable](what string, got, want T) {
	if got != want {
		panic(failure(fmt.Sprintf("%s: got %s, want %s", what, shown(got), shown(want))))
	}
}

func shown(value any) string {
	switch value := value.(type) {
	case string:
		return fmt.Sprintf("%q", value)
	case types.Option[string]:
		if text, found := value.Get(); found {
			return fmt.Sprintf("some %q", text)
		}
		return "none"
	default:
		return fmt.Sprint(value)
	}
}

func write(message string) {
	log.Write(log.Level_Info, message)
}

var (
	noParams = types.None[http.Params]()
	noBody   = types.None[http.Body]()
	absent   = types.None[string]()
)

func with(params http.Params) types.Option[http.Params] { return types.Some(params) }

func pair(name, value string) types.Tuple2[string, string] {
	return types.Tuple2[string, string]{F0: name, F1: value}
}
