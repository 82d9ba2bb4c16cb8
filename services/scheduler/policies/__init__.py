"""Asks the policy service whether something may happen, and sees to it that what it says is done.

Nothing is asked where no policy applies. What cannot be asked does not happen, unless the namespace says otherwise;
each denial, warning and missing answer is accounted for.
"""
