/**
 * A steady tick. Browsers slow a hidden tab's own timers to one a minute, which
 * would let a lease run out; a worker's timers keep their pace.
 */

setInterval(() => postMessage(null), 1000);
