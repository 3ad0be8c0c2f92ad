/* stop.h: stopping by a signal. */
#ifndef TALLY_CLI_STOP_H
#define TALLY_CLI_STOP_H

/* From now on SIGINT, SIGTERM and SIGHUP are only remembered; a second one ends the process at once. Signals that are
 * ignored stay so (nohup). */
void stop_catch(void);

/* The signal that came, 0 if none. */
int stop_signal(void);

#endif
