"""Alerts: who is told that something is wrong, by whichever process notices.

A check finds what is wrong, compares that with what each target was told, and tells it the rest in
one message. A target is all e-mail addresses together, or one function.

==============  ===========================================================================
``conditions``  what is wrong: new errors, failing and waiting tasks, no worker
``due``         what of it a target is to be told now, by what it was told before
``messages``    the message
``sending``     how it gets to a target
``telling``     one check, from the first of these to the last
``watching``    when a worker checks
==============  ===========================================================================
"""
