/* A model of asioq::detail::strict_dispatcher (include/asioq/detail/dispatch/strict_dispatcher.hpp) and of the wake
 * object where the owner sleeps (detail/support/wake.hpp), for spin: the owner makes every choice of up to OPS calls
 * with up to N requests, in every interleaving with every behaviour of the executor. Names are those of the C++ code.
 *
 * WHAT IS CHECKED
 *  - at most one runner, at most one task on its way; requests run once each, in the order of submission; the owner
 *    touches a record only when it has finished, the runner only until then (`next` is poisoned);
 *  - every process comes to an end: spin reports one that is stuck and, with -DNP, one that goes round in circles;
 *  - a blocked owner depends neither on a task that has not begun nor on a call of the executor: while the owner is
 *    blocked and no task is under way outside of execute(), none begins and none returns from there (`goes_on`). So
 *    the owner would come to its end with an executor that has stopped, too. Only the destructor waits for callers;
 *  - no request is forgotten (`in_hands`); no timed wait runs to its deadline because no party told the owner that the
 *    target is reached, or that a request has failed;
 *  - at most MAXWB write-backs are unfinished; there is never more than one token; at the end there is none, the wake
 *    object is not armed, and no flag and no request is left over;
 *  - the dispatcher is deleted once, and not touched after that (`live`); the executor is not used when the queue goes,
 *    nor is any call of it under way.
 *
 * WHAT A STEP IS
 * Memory is sequentially consistent: the model says nothing about the weaker orders in the code. An `atomic` makes one
 * access to shared memory at most, besides what is private (the owner's own, and the runner's, such as ready_). A loop
 * around compare_exchange whose outcome depends on the word only is one step: what its last turn does, when it does it.
 * finished_ has one writer at a time, whose own load of it is no step. Spinning is one load, the last one.
 *
 * THE EXECUTOR runs a task at any later time, also after the queue has gone, or at once in execute() (the caller then
 * waits until a worker has run it, which comes to the same). There is at most one to choose from, so "in any order" is
 * nothing more. Up to THROWS times it throws. A worker that calls it in yield() may run there whatever task comes, its
 * own or another's: that task finds itself inside. After any request, a runner's turn may be over. Any number of
 * requests may be merged into one batch.
 *
 * MISTAKES: each -DMUT_... makes one, which spin must find. meson.build lists them.
 */
#ifndef N
#define N 3       /* requests */
#endif
#ifndef OPS
#define OPS 5     /* calls before the destructor */
#endif
#ifndef MAXWB
#define MAXWB 1   /* max_writebacks */
#endif
#ifndef WORKERS
#define WORKERS 2 /* threads of the executor */
#endif
#ifndef THROWS
#define THROWS 0  /* times that execute() may throw */
#endif
#ifndef FAILS
#define FAILS 0   /* requests that may fail */
#endif

#define RUNNING 1
#define SCHEDULED 2
#define FLAGS 3
#define newest(w) ((w) >> 2) /* records are numbered in the order of submission, from 1; 0: none */
#define NOTHING 255          /* the target of an owner that does not sleep */
#define TAKEN 254            /* the party that tells has taken the target */
#define NEVER 253            /* the target of a destructor that waits for callers */

/* The dispatcher's members, and those of records that its order depends on. */
byte word, finished;
byte target_ = NOTHING, tokens; /* wake_ */
byte shares = 1;
byte ready;        /* the front of ready_ */
byte callers;      /* the length of the list */
bit is_leaving;
byte next[N + 1];
bit failed[N + 1]; /* error is set */

/* The executor. */
bit pending;       /* has a task that has not begun, */
bit at_once;       /* to be run within execute(), */
bit returned;      /* which has come to its end */
byte busy;         /* tasks that have begun and not ended, */
byte inside;       /* of which this many are inside execute() */
byte throws = THROWS;

/* For checking only. */
byte deleted;      /* how often the dispatcher has been */
bit gone;          /* the queue is, and so its executor */
byte runners;
bit asleep;        /* the owner acquires the token next, whatever the time */
byte fails = FAILS;

#define POISON 255
#define live assert(deleted == 0) /* goes with every access to the dispatcher */
#define step(access) atomic { live; access }
#define blocked (asleep && tokens == 0)
#define goes_on assert(busy > inside || is_leaving || !blocked)
#define in_hands (finished == submitted || (word & (RUNNING | SCHEDULED)) != 0)

/* ---- For both, with the local variables of the caller. */

inline starts_running() { runners++; assert(runners == 1) }
inline stops_running() { assert(runners == 1); runners--; word = word & ~RUNNING }

inline leave() {
  live; shares--;
  if
  :: shares == 0 ->
     deleted++;
     assert(word == 0 && ready == 0 && runners == 0 && !pending);
     assert(target_ == NOTHING && tokens == 0 && !asleep && callers == 0)
  :: else
  fi
}

/* refill() where ready_ is empty */
inline take_inbox() {
  live; assert(ready == 0);
  b = newest(word); word = word & FLAGS;
#ifdef MUT_INBOX_NOT_REVERSED
  ready = b; b = 0;
#endif
  do
  :: b != 0 -> older = next[b]; assert(older != POISON); next[b] = ready; ready = b; b = older
  :: else -> older = 0; break
  od
}

/* run_front(): one request, or several that are merged, some of which may still be in the inbox */
inline gather() { /* n: how many there are, fl: one has failed */
  live;
  do
  :: n++;
     assert(ready != POISON && ready == finished + n);
     if :: true :: fails > 0 -> fails--; failed[ready] = 1; fl = 1 fi;
     ready = next[ready];
     if :: ready != 0 :: break fi
  od
}
inline carry_out() {
  atomic { gather() };
  do
  :: atomic { ready == 0 -> take_inbox(); if :: ready != 0 -> gather() :: break fi }
  :: break
  od
}
#define publish step(finished = finished + n; n = 0)

#ifdef MUT_NO_SHARE
#define take_share skip
#else
#define take_share shares++
#endif

/* wake_.tell(reached, fl), with armed_for as its local variable */
inline tell(reached) {
  step(armed_for = target_);
  do
#ifdef MUT_FAILURE_NOT_TOLD
  :: armed_for != NOTHING && reached >= armed_for ->
#else
  :: armed_for != NOTHING && (fl || reached >= armed_for) ->
#endif
#ifdef MUT_TELL_BLINDLY
     step(target_ = NOTHING; armed_for = TAKEN);
#else
     step(if :: target_ == armed_for -> target_ = NOTHING; armed_for = TAKEN :: else -> armed_for = target_ fi);
#endif
     if :: armed_for == TAKEN -> step(assert(tokens == 0); tokens = 1; armed_for = 0); break :: else fi
  :: else -> atomic { armed_for = 0; break }
  od
}

/* ---- A thread of the executor. */

proctype worker() {
  byte b, n, old, older, armed_for;
  bit fl, inl, back;
idle:
  atomic {
    if
    :: pending ->                                                            /* begin */
       if :: at_once :: else -> goes_on fi;
       pending = 0; busy++; inl = at_once; at_once = 0
    :: !pending && deleted > 0 -> goto stop
    fi
  };
start: /* start_running() */
  atomic {
    live; back = 0; old = word;
#ifdef MUT_START_BESIDE_A_RUNNER
    old = 0;
#endif
    word = (word & ~SCHEDULED) | RUNNING;
    if
    :: (old & RUNNING) == 0 -> old = 0; starts_running()
    :: else -> old = 0; goto depart
    fi
  };
drain:
  if
  :: ready != 0 -> carry_out()
  :: atomic { ready == 0 -> take_inbox(); if :: ready != 0 -> goto drain :: else fi };
     atomic {                                                                /* stop_running() */
       live;
       if
#ifndef MUT_STOP_BLINDLY
       :: newest(word) != 0 -> goto drain
#endif
       :: else -> stops_running(); goto depart
       fi
     }
  fi;
#ifdef MUT_PUBLISH_AFTER_TELL
  tell(finished + n);
#endif
  publish;
#ifndef MUT_PUBLISH_AFTER_TELL
  tell(finished);
#endif

  atomic {                                                                   /* yield() */
    fl = 0;
    if :: goto drain :: live fi;                                             /* the turn is not over, or is it? */
    if :: target_ != NOTHING -> goto drain :: else fi
  };
#ifndef MUT_YIELD_NOTHING
  step(if :: ready == 0 && newest(word) == 0 -> goto drain :: else fi);
#endif
#ifdef MUT_CALLER_LATE
  atomic { live; stops_running(); word = word | SCHEDULED };
  step(callers++);
#else
  step(callers++);
#ifdef MUT_CALL_AS_RUNNER
  step(word = word | SCHEDULED);
#else
  atomic { live; assert((word & SCHEDULED) == 0); stops_running(); word = word | SCHEDULED };
#endif
#endif
#ifndef MUT_YIELD_SILENTLY
  fl = 1; tell(0); fl = 0;                                                   /* tell_anyway() */
#endif
  step(take_share);                                                          /* hand_over() */
  atomic {
    live; assert(!gone && !pending);
    if
    :: throws > 0 -> throws--; back = 1
    :: pending = 1; inside++
    fi
  };
  if
  :: back -> step(shares--)
  :: else ->
     do
     :: atomic {                                                             /* run() of a task that is inside */
          pending && !at_once -> goes_on; pending = 0; live;
#ifdef MUT_INSIDE_CLEARS_SCHEDULED
          word = word & ~SCHEDULED;
#endif
          back = 1
        };
        atomic { leave() }
     :: atomic { goes_on; assert(!gone); inside--; break }                   /* execute() returns */
     od
  fi;
#ifdef MUT_CALL_AS_RUNNER
  atomic { live; stops_running() };
#endif
  step(callers--; fl = is_leaving);                                          /* leave_list() */
#ifndef MUT_CALLER_SILENT
  if :: fl -> tell(0); fl = 0 :: else fi;
#endif
  fl = 0;
#ifndef MUT_TASK_INSIDE_LOST
  if :: back -> goto start :: else fi;
#endif
  back = 0;
depart:
  atomic { leave(); busy--; returned = returned | inl; inl = 0; goto idle };
stop:
  skip
}

/* ---- The owner: basic_asio_queue and its ledger, and what the dispatcher does for it. */

inline harvest() {
  atomic {
    live; b = finished;
    do
    :: harvested < b ->
       harvested++; next[harvested] = POISON; unfinished_wbs = unfinished_wbs - is_wb[harvested];
       if
       :: is_wb[harvested] && !failed[harvested] -> is_wb[harvested] = 0
       :: else -> done++; collectable[harvested] = 1; failed_wbs = failed_wbs + is_wb[harvested]
       fi
    :: else -> b = 0; break
    od
  }
}

inline next_to_collect() {
  target = harvested + 1;
  do :: is_wb[target] && target < submitted -> target++ :: else -> break od
}

inline oldest_write_back() {
  target = harvested + 1; do :: !is_wb[target] -> target++ :: else -> break od
}

inline hand_over() { /* sets threw */
  step(take_share);
  atomic {
    live; assert(!gone && !pending);
    if
    :: throws > 0 -> throws--; threw = 1
    :: pending = 1
    :: pending = 1; at_once = 1; inl = 1
    fi
  };
  if
  :: threw -> step(shares--)
  :: inl -> atomic { returned -> returned = 0; inl = 0 }
  :: else
  fi
}

inline help() { /* sets ran */
#ifdef MUT_HELP_BESIDE_A_RUNNER
  step(ran = 1; word = word | RUNNING; starts_running());
#else
  step(ran = !(word & RUNNING); word = word | RUNNING; if :: ran -> starts_running() :: else fi);
#endif
  if
  :: ran ->
     do
     :: finished < target && !fl && ready != 0 -> carry_out(); publish
     :: atomic { finished < target && !fl && ready == 0 -> take_inbox(); assert(ready != 0) }
     :: atomic {                                                             /* leave_the_rest() */
          finished >= target || fl ->
          live; fl = 0; old = word;
          stops_running();
#ifndef MUT_FORGET_THE_REST
          if :: ready != 0 || newest(word) != 0 -> word = word | SCHEDULED :: else fi;
#endif
          old = ((old ^ word) & SCHEDULED)
        };
        break
     od;
     if
     :: old != 0 -> old = 0; hand_over(); if :: threw -> step(threw = 0; word = word & ~SCHEDULED) :: else fi
     :: else
     fi
  :: else
  fi
}

/* wake_.arm(target) */
#define arm(check) step(assert(target_ == NOTHING); target_ = target; check)

inline disarm() {
  step(if :: target_ == NOTHING -> asleep = 1 :: else fi; target_ = NOTHING);
#ifdef MUT_KEEP_TOKEN
  asleep = 0
#else
  if :: asleep -> step(tokens > 0 -> tokens--; asleep = 0) :: else fi
#endif
}

#define WAIT 1
#define SYNC 2
#define DESTROY 3
#define WRITE_BACK 4 /* submit() of one: make_room() */

proctype owner() {
  byte calls, call, submitted, harvested, unfinished_wbs, failed_wbs, done, target, b, n, old, older;
  bit is_wb[N + 1], collectable[N + 1], kind, fl, inl, threw, ran, expired;

next_call:
  atomic {
    call = 0; target = 0; kind = 0; expired = 0; threw = 0; ran = 0; old = 0;
    assert(in_hands || throws < THROWS);
    calls++;
    if
    :: calls <= OPS && submitted < N -> goto push                              /* whether get() harvests is no matter */
    :: calls <= OPS && submitted < N -> kind = 1; call = WRITE_BACK; goto blocking
    :: calls <= OPS && (done > 0 || harvested < submitted) -> call = WAIT; goto blocking
    :: calls <= OPS && harvested < submitted -> call = SYNC; goto blocking
    :: calls <= OPS && harvested < submitted -> goto timed
    :: calls = 0; call = DESTROY; goto blocking
    fi
  };

push: /* `kind`: of a write-back */
  atomic {
    live;
    b = submitted + 1; is_wb[b] = kind; next[b] = newest(word);
    old = word; word = (b << 2) | (word & FLAGS); b = 0;
    if
    :: (old & (RUNNING | SCHEDULED)) == 0 ->
#ifndef MUT_NOT_SCHEDULED
       word = word | SCHEDULED
#endif
    :: else -> goto pushed
    fi
  };
  hand_over();
  if
  :: threw ->
     atomic {
       live; assert(word == (((submitted + 1) << 2) | SCHEDULED));           /* it is the owner's alone */
#ifdef MUT_REFUSED_STAYS
       word = word & ~SCHEDULED;
#else
       word = old;
#endif
       is_wb[submitted + 1] = 0; next[submitted + 1] = 0
     };
     goto next_call
  :: else
  fi;
pushed:
  atomic { submitted++; unfinished_wbs = unfinished_wbs + kind; assert(unfinished_wbs <= MAXWB); goto next_call };

blocking: /* wait(), sync(), submit() of a write-back, the destructor */
  harvest();
  atomic {
    if
    :: call == WRITE_BACK && failed_wbs > 0 -> goto next_call                /* throws write_back_error */
    :: call == WRITE_BACK && failed_wbs == 0 && unfinished_wbs < MAXWB -> goto push
    :: call == WAIT && done > 0 -> goto collect
    :: call == DESTROY && harvested == submitted -> goto destroy
    :: (call == SYNC || call == WAIT && done == 0) && harvested == submitted -> goto next_call
    :: else
    fi;
    if
    :: call == WAIT -> next_to_collect()
    :: call == WRITE_BACK -> oldest_write_back()
    :: else -> target = submitted
    fi
  };
  help();                                                                    /* await() */
  if :: ran -> ran = 0; goto blocking :: else fi;
#ifdef MUT_NEVER_SLEEP
  goto blocking;
#endif
  step(if :: finished >= target -> goto blocking :: else fi);                /* spin() */
  arm(skip);
#ifndef MUT_SLEEP_WITHOUT_A_LOOK_AT_FINISHED
  step(if :: finished != harvested -> old = 1 :: else fi);
#endif
#ifndef MUT_SLEEP_WITHOUT_A_LOOK_AT_RUNNING
  if :: old == 0 -> step(if :: (word & RUNNING) == 0 -> old = 1 :: else fi) :: else fi;
#endif
  if
  :: old != 0 -> old = 0; disarm()
  :: else -> asleep = 1; step(tokens > 0 -> tokens--; asleep = 0)
  fi;
  goto blocking;

timed: /* wait_until(); try_wait() is one whose time is over after poll() */
  harvest();
  atomic {
    if
    :: done > 0 -> goto collect
    :: done == 0 && (harvested == submitted || expired) -> goto next_call
    :: else
    fi;
    if :: goto next_call :: next_to_collect() fi                             /* now() < end? */
  };
  step(old = word & (RUNNING | SCHEDULED));                                  /* poll() */
  if :: old == 0 -> step(old = (finished == submitted)) :: else fi;
  if
  :: old == 0 ->
     step(assert((word & (RUNNING | SCHEDULED)) == 0); word = word | SCHEDULED);
     hand_over();
     if :: threw -> step(word = word & ~SCHEDULED; goto next_call) :: else fi
  :: else -> old = 0
  fi;
  if :: expired = 1; goto timed :: true fi;
  step(if :: finished >= target -> goto timed :: else fi);                   /* await_until(), spin() */
  arm(assert(in_hands));
#ifndef MUT_NO_TIMED_RECHECK
  step(if :: finished != harvested -> old = 1 :: else fi);
#endif
  if
  :: old != 0 -> old = 0; disarm()
  :: else ->
     if
     :: atomic { tokens > 0 -> live; tokens-- }
     :: atomic {                                                             /* the deadline has come */
          b = harvested; do :: b < finished && !failed[b + 1] -> b++ :: else -> break od;
          assert(tokens > 0 || busy > 0 || (finished < target && b == finished));
          b = 0; expired = 1
        };
        disarm()
     fi
  fi;
  goto timed;

collect:
  atomic {
    b = 1; do :: !collectable[b] -> b++ :: else -> break od;
    collectable[b] = 0; done--; failed_wbs = failed_wbs - is_wb[b];
    is_wb[b] = 0; failed[b] = 0; b = 0;
    goto next_call
  };

destroy:
  atomic { assert(finished == submitted); done = 0; failed_wbs = 0; is_leaving = 1 };
#ifndef MUT_LEAVE_CALLERS
  do                                                                         /* wait_for_callers() */
  :: atomic { callers == 0 -> break }
  :: atomic { callers > 0 -> live; assert(target_ == NOTHING); target_ = NEVER };
     asleep = 1; step(tokens > 0 -> tokens--; asleep = 0)
  od;
#endif
  atomic { gone = 1; assert(inside == 0); leave() }
}

init { byte i; atomic { run owner(); do :: i < WORKERS -> run worker(); i++ :: else -> i = 0; break od } }
