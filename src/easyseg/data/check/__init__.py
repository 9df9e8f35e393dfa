"""The dataset doctor: finds what is wrong with a dataset before a training does.

`doctor.examine` is its way in. One pass (`gathering`, in processes or threads) turns every file into a few numbers
(`digest`); each check then looks at these numbers (`survey`), and only the few files it suspects are opened again.
A new check is a function with `@check("name")` in one of the modules that `doctor` lists.
"""
