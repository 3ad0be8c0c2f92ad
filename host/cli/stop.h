/* stop.h: stopping on a signal. */
#ifndef TALLY_CLI_STOP_H
#define TALLY_CLI_STOP_H

/* From now on SIGINT, SIGTERM and SIGHUP are only recorded; a second signal ends the process at once. Ignored
 * signals remain ignored (nohup). */
void stop_catch(void);

/* The signal received, 0 if none. */
int stop_signal(void);

#endif
