package org.lolvit.demo.benchmark

/** A request of the harness that can't be carried out; [message] is one line, which the harness prints. */
internal class HarnessException(message: String, cause: Throwable? = null) :
    Exception(message.lines().joinToString(" ") { it.trim() }.trim(), cause)
